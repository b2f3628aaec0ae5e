//! Reading: several connections beside the writer, each with one snapshot at a time.

use std::future::{Future, ready};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use divisi_store::backend::CommitError;
use divisi_store::{BoxFuture, Draft, Position, Row, Session, StoreError, StoreErrorKind, ValueRef};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connect;
use crate::error::store_error;
use crate::link::Link;
use crate::options::Options;

/// So long a page is read at a time where somebody else wants the core: far less than the kernel's slice, and each time may cost one.
const GIVES_WAY_AFTER: Duration = Duration::from_micros(200);

/// The connections that read.
pub(crate) struct Readers {
    links: Mutex<Vec<Link>>,
    /// As many permits as links: who has one finds one.
    free: Arc<Semaphore>,
    count: usize,
}

/// A snapshot; given back when it is dropped.
pub(crate) struct Snapshot {
    readers: Arc<Readers>,
    link: Option<Link>,
    /// When it last gave way, if it does; see [`Snapshot::patient`].
    gave_way: Option<Instant>,
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    /// Opens them all: a file that can be opened once can be opened again, and nobody waits later.
    pub(crate) fn open(path: &Path, options: &Options) -> rusqlite::Result<Readers> {
        let count = options.readers.max(1);
        let links =
            (0..count).map(|_| connect::reader(path, options)).collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Readers { links: Mutex::new(links), free: Arc::new(Semaphore::new(count)), count })
    }

    /// Begins a snapshot, when a connection is free.
    pub(crate) async fn snapshot(self: &Arc<Self>) -> Result<Snapshot, StoreError> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| closed())?;
        let link = self.links.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or_else(closed)?;
        let snapshot =
            Snapshot { readers: Arc::clone(self), link: Some(link), gave_way: None, _permit: permit };
        snapshot.link()?.control("BEGIN").map_err(store_error)?;
        snapshot.link()?.limit().start();
        Ok(snapshot)
    }

    /// Waits for the snapshots that are open, and closes all connections.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        if let Ok(permits) = self.free.acquire_many(all).await {
            permits.forget();
            self.free.close();
            self.links.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Snapshot {
    /// For pages: it takes as long as it needs, since they are limited by count, and between two statements it gives way to other threads
    /// from time to time.
    ///
    /// There is one thread more than cores while it reads, and the kernel would let it have its core for a slice of some milliseconds.
    /// The thread it took that from is the writer's, which has slept for a sync, and everybody waits for that one.
    pub(crate) fn patient(mut self) -> Snapshot {
        if let Some(link) = &self.link {
            link.limit().stop();
        }
        self.gave_way = Some(Instant::now());
        self
    }

    fn link(&self) -> Result<&Link, StoreError> {
        self.link.as_ref().ok_or_else(closed)
    }

    fn run<T>(&mut self, body: impl FnOnce(&Link) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let link = self.link()?;
        link.limit().check()?;
        let done = body(link);
        if self.gave_way.is_some_and(|at| at.elapsed() >= GIVES_WAY_AFTER) {
            std::thread::yield_now();
            self.gave_way = Some(Instant::now());
        }
        done
    }
}

impl Session for Snapshot {
    fn execute<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(ready(self.run(|link| link.execute(sql, params))))
    }

    fn query<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(ready(self.run(|link| link.query(sql, params))))
    }

    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(self.run(|link| link.control("SAVEPOINT divisi_nested").map_err(store_error))))
    }

    fn end_savepoint(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        let ended = self.link().and_then(|link| {
            if keep { Ok(()) } else { link.control("ROLLBACK TO divisi_nested") }
                .and_then(|()| link.control("RELEASE divisi_nested"))
                .map_err(store_error)
        });
        Box::pin(ready(ended))
    }

    fn commit(self: Box<Self>, _: Vec<Draft>) -> BoxFuture<'static, Result<Vec<Position>, CommitError>> {
        Box::pin(ready(Err(CommitError::DidNotHappen(StoreError::new(
            StoreErrorKind::Statement,
            "a snapshot cannot be committed",
        )))))
    }

    fn roll_back(self: Box<Self>) -> BoxFuture<'static, Result<(), CommitError>> {
        Box::pin(ready(Ok(())))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else { return };
        link.limit().stop();
        // A snapshot that stays open keeps the write-ahead log from being reset; only a broken connection fails here.
        if !link.is_autocommit()
            && let Err(error) = link.control("ROLLBACK")
        {
            tracing::warn!(error = %error, "a snapshot could not be ended");
        }
        self.readers.links.lock().unwrap_or_else(PoisonError::into_inner).push(link);
    }
}

/// Runs a future that never waits.
pub(crate) fn at_once<T>(future: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(StoreError::new(StoreErrorKind::Other, "a statement of SQLite waited")),
    }
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store has been closed")
}
