//! The seam for the HTTP edge: the host starts it and knows nothing of HTTP.

use std::io;
use std::sync::Arc;

use divisi_call::{BoxFuture, Edge};
use tokio::net::TcpListener;

use crate::health::Health;
use crate::metrics::Metrics;

/// Serves contracts to strangers. Brought by the app.
pub trait EdgeServer: Send + Sync + 'static {
    /// Prepares to serve, and brings the work: it serves until `setup.stopping` is ready, then drains. An error says
    /// what in the contracts makes it impossible.
    fn serve(&self, setup: EdgeSetup) -> Result<BoxFuture<'static, io::Result<()>>, String>;
}

/// What an edge is given.
pub struct EdgeSetup {
    /// The contracts of the app, from text.
    pub edges: Vec<Arc<dyn Edge>>,
    /// Where it listens.
    pub listener: TcpListener,
    /// How the process is.
    pub health: Health,
    /// What can be counted of it.
    pub metrics: Metrics,
    /// The largest body that it takes, in bytes.
    pub body_bytes_max: usize,
    /// How long a request may take.
    pub request_time: std::time::Duration,
    /// Ready when it is to stop.
    pub stopping: BoxFuture<'static, ()>,
}
