//! Serves contracts on an address.

mod connection;
mod greet;
mod in_flight;
mod offers;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use divisi_call::Served;
use divisi_contract::ServiceName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::limits::{FRAME_MIN, Limits};
use offers::Offers;

/// Connections beyond the limit that are told so at the same time; further ones are closed without a word.
const REFUSED_AT_ONCE_MAX: usize = 64;
/// The pause after an accept that failed, most likely because no file descriptor is left: an error that lasts must
/// not keep a core busy.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// How long a handler that was cut may take until it can be dropped. 1 s: it can whenever it waits for something, and a
/// handler that computes for longer than that keeps a whole thread from others.
const CUT_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What the server wants of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Serve.
    Serving,
    /// Take no new calls, and end when those that run have ended.
    Draining,
    /// End.
    Cut,
}

/// A server of contracts on one address.
///
/// Several services may share it, as they share a process. Handlers run on the runtime that [`Server::serve`] runs
/// on; a handler that is ready at once never leaves the task that read its request.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    offers: Arc<Offers>,
    limits: Arc<Limits>,
    tally: Tally,
}

/// What a server has done, also while it runs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<AtomicU64>);

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because their calls took longer than [`Limits::drain_within`]. Zero is good.
    pub cut: usize,
}

impl Server {
    /// Takes the address. It is served from [`Server::serve`] on; until then connections wait.
    ///
    /// A port that is taken is an error that names it. A port of zero lets the system choose.
    pub async fn bind(
        addr: &str,
        services: Vec<(ServiceName, Vec<Served>)>,
        limits: Limits,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(addr).await.map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => "; another process, or this one twice, listens there",
                _ => "",
            };
            io::Error::new(error.kind(), format!("cannot listen on {addr}: {}{hint}", error.kind()))
        })?;
        Ok(Server::on(listener, services, limits))
    }

    /// The same on an address that is taken already, with the options that its socket needed.
    pub fn on(
        listener: TcpListener,
        services: Vec<(ServiceName, Vec<Served>)>,
        mut limits: Limits,
    ) -> Server {
        limits.frame_max = limits.frame_max.max(FRAME_MIN);
        Server {
            listener,
            offers: Arc::new(Offers::new(services)),
            limits: Arc::new(limits),
            tally: Tally::default(),
        }
    }

    /// Looks at what it has done, also while it runs.
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// The address, with the port that the system chose.
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then drains: no new connections, no new calls, and what runs may end within
    /// [`Limits::drain_within`]. What runs longer is dropped before this returns.
    ///
    /// Dropping the future instead cuts every connection; what ran is dropped.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Drained {
        let Server { listener, offers, limits, tally } = self;
        let (tell, phase) = watch::channel(Phase::Serving);
        let mut connections = JoinSet::new();
        let mut refused = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut in_trouble = false;
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                Some(_) = refused.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => {
                    in_trouble = false;
                    accepted
                }
                Err(error) => {
                    // Once for a time of trouble, not for every attempt.
                    if !std::mem::replace(&mut in_trouble, true) {
                        warn!(error = %error, "cannot accept a connection, trying again: {error}");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if connections.len() < limits.connections_max {
                let serve = connection::serve(
                    stream,
                    peer,
                    Arc::clone(&offers),
                    Arc::clone(&limits),
                    tally.clone(),
                    phase.clone(),
                );
                connections.spawn(serve);
            } else if refused.len() < REFUSED_AT_ONCE_MAX {
                refused.spawn(refuse(stream, Arc::clone(&limits)));
            }
        }
        // Nobody new may come in: a caller is refused by the system and knows that nothing ran.
        drop(listener);
        drop(refused);
        tell.send_replace(Phase::Draining);
        let in_time = tokio::time::timeout(limits.drain_within, all(&mut connections)).await.is_ok();
        let cut = if in_time { 0 } else { connections.len() };
        // Each drops its handlers before it ends, so that nothing of them runs when this returns.
        tell.send_replace(Phase::Cut);
        if tokio::time::timeout(CUT_WITHIN, all(&mut connections)).await.is_err() {
            warn!(
                connections.cut = cut,
                "handlers go on after they were cut: they have not waited for {CUT_WITHIN:?}"
            );
        }
        connections.shutdown().await;
        debug!(connections.cut = cut, "stopped serving calls");
        Drained { cut }
    }
}

impl Tally {
    /// Calls that were answered, whatever the answer.
    pub fn served(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until every connection has ended.
async fn all(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

async fn refuse(stream: TcpStream, limits: Arc<Limits>) {
    let message = format!("this server has {} connections, which is its limit", limits.connections_max);
    greet::refuse(stream, &limits, message).await;
}
