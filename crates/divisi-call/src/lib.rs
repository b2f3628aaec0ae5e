//! How one service reaches another, wherever it runs.
//!
//! `#[contract]` generates one client type a contract, `CommentsClient`, over a [`Link`]. A link knows a
//! [`Route`]; a route leads to a [`Place`]: a service in this process, or a [`Caller`] that carries bytes to one
//! elsewhere. The client's user cannot tell which, except by the clock.
//!
//! In order of use: [`client`] (what generated clients stand on), [`calling`] (a call under way), [`route`] (which service is where),
//! [`caller`] (the seam for remote calls), [`dispatch`] (the seam for serving them), [`in_process`] (deadline,
//! panics and limits around a local call), [`retry`] (when a call is tried again), [`edge`] (a call from text, for
//! the gateway).
//!
//! It knows nothing of sockets or HTTP.

pub mod caller;
pub mod calling;
pub mod client;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod dispatch;
pub mod edge;
pub mod in_process;
pub mod limit;
pub mod retry;
pub mod route;

use std::future::Future;
use std::pin::Pin;

pub use caller::{Call, Caller, Request};
pub use calling::Calling;
pub use client::{Client, Link, Serves};
pub use dispatch::{Dispatch, Served};
pub use edge::{Edge, EdgeError, EdgeRequest};
pub use limit::Limit;
pub use route::{Place, Route};

/// A future in a box, which may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Now, by the clock that a test can pause.
pub fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// What generated code names; not for people.
#[doc(hidden)]
pub mod private {
    pub use crate as call;
    pub use bytes;
    pub use divisi_contract as contract;
    pub use schemars;
    pub use serde;
    pub use serde_json;
}
