//! The runtimes: the same for everybody.

use std::future::Future;

use anyhow::Context;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Threads of each runtime: as many as the machines that this is run on have cores, which is tokio's own default.
pub(crate) const WORKERS: usize = 2;

/// A runtime of [`WORKERS`] threads.
pub(crate) fn runtime(name: &str) -> anyhow::Result<Runtime> {
    divisi::host::runtime::builder()
        .worker_threads(WORKERS)
        .thread_name(name)
        .build()
        .context("cannot start a runtime")
}

/// A task that ends with whoever holds this.
pub(crate) struct Owned(JoinHandle<()>);

impl Owned {
    /// Starts `future` on `runtime`.
    pub(crate) fn spawn(runtime: &Runtime, future: impl Future<Output = ()> + Send + 'static) -> Owned {
        Owned(runtime.spawn(future))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}
