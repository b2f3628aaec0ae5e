//! A [`Caller`] for one address.

mod absence;
mod connection;
mod dial;
mod in_flight;
mod lane;
mod offers;
mod reconnect;
mod task;

use std::fmt;

use bytes::Bytes;
use divisi_call::{BoxFuture, Caller, Request};
use divisi_contract::CallError;

use crate::limits::{FRAME_MIN, Limits};
use lane::Lane;

/// Calls to the services behind one address.
///
/// It has two connections, made when they are first needed: one for calls and one for *bulk*, so that a page of
/// history is never in front of a call. Both are made anew when they break. A call that cannot be sent fails with
/// an error that says that it did not run; one whose connection broke under it fails with one that says that it
/// may have run. Nothing is ever sent twice.
///
/// It must first be used inside a tokio runtime. Dropping it closes both connections.
pub struct Client {
    calls: Lane,
    bulk: Lane,
    is_bulk: fn(&str) -> bool,
}

/// How a client goes about its work.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The name of this process, for the server's log.
    pub name: String,
    /// Which contracts, by name, go over the second connection. By default none.
    pub bulk: fn(&str) -> bool,
    /// The bounds.
    pub limits: Limits,
}

impl Client {
    /// A client for `addr`, as in `posts.internal:7000`. Its name is looked up at every attempt to connect.
    pub fn new(addr: impl Into<String>, options: ClientOptions) -> Client {
        let ClientOptions { name, bulk, mut limits } = options;
        limits.frame_max = limits.frame_max.max(FRAME_MIN);
        let addr = addr.into();
        Client {
            calls: Lane::new(addr.clone(), name.clone(), limits.clone()),
            bulk: Lane::new(addr, name, limits),
            is_bulk: bulk,
        }
    }
}

impl Caller for Client {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Bytes, CallError<Bytes>>> {
        let lane = if (self.is_bulk)(request.call.contract) { &self.bulk } else { &self.calls };
        Box::pin(lane.call(request))
    }
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions { name: String::new(), bulk: |_| false, limits: Limits::default() }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("addr", &self.calls.addr()).finish_non_exhaustive()
    }
}
