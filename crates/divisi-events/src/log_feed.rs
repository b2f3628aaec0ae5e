//! Answers fetches from a log.
//!
//! A [`Log`] stands in front of one service's database. What is new comes from the [`tail`](crate::tail), what is old
//! from a page of the database, and a fetch that wants what is not there yet waits. Every answer is one state of the
//! log: records, ends and epochs of one snapshot.

mod answer;
mod listeners;
mod progress;
mod told;
mod wanted;

use std::fmt;
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_contract::{Answer, Context, ServiceName};
use divisi_store::Store;
use tokio::sync::{Semaphore, watch};

pub use self::listeners::Listeners;
pub use self::progress::{KEEP_EVERY, SEEN_EVERY};
use self::told::Told;
use crate::event_log::{EventLog, Progress};
use crate::fetch::{Feed, Fetch, FetchRefused, Fetched};
use crate::tail::{Tail, TailLimits};

/// Pages of one log that are read from the database at the same time, at the most; further fetches wait their turn.
pub const PAGES_IN_FLIGHT_MAX: usize = 4;

/// How a log answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOptions {
    /// How much of each topic is kept in memory.
    pub tail: TailLimits,
}

/// One service's log, as those who listen to it see it.
pub struct Log {
    store: Store,
    listeners: Listeners,
    tail: Arc<Tail>,
    pages: Arc<Semaphore>,
    /// One at a time begins an epoch: who comes second finds it begun.
    beginning: Semaphore,
    told: Told,
    closed: watch::Sender<bool>,
}

impl Log {
    /// The log of `store`, for these listeners and nobody else. It becomes the store's listener: one log a store.
    pub fn new(store: Store, listeners: Listeners, options: LogOptions) -> Arc<Log> {
        let tail = Arc::new(Tail::new(store.topics(), options.tail));
        store.backend().listen(Arc::clone(&tail) as _);
        Arc::new(Log {
            store,
            listeners,
            tail,
            pages: Arc::new(Semaphore::new(PAGES_IN_FLIGHT_MAX)),
            beginning: Semaphore::new(1),
            told: Told::default(),
            closed: watch::Sender::new(false),
        })
    }

    /// The store whose log it is.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What it keeps in memory.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Answers no more: those who wait are told at once that the service is shutting down. Progress can still be told,
    /// since readers do so when they stop; [`Log::run`] ends after it has kept what it knows.
    pub fn close(&self) {
        self.closed.send_replace(true);
        self.tail.close();
        self.pages.close();
        self.beginning.close();
    }
}

impl Log {
    /// Whether `caller` may read `topic` as `reader`: a listener under its own name or one that begins with it, and
    /// the service itself, for its relays.
    fn may_read(&self, caller: &ServiceName, reader: &str, topic: &str) -> bool {
        caller == self.store.service()
            || (is_reader_of(caller, reader) && self.listeners.allows(topic, caller))
    }
}

/// Whether `reader` is one of `service`'s: `query`, or `query.posts`. A relay is not: it keeps its own progress, under
/// its lease.
fn is_reader_of(service: &ServiceName, reader: &str) -> bool {
    reader.strip_prefix(service.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Feed for Log {
    fn fetch<'a>(&'a self, cx: &'a Context, want: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>> {
        Box::pin(Log::fetch(self, cx, want))
    }

    fn progress<'a>(&'a self, cx: &'a Context, told: Progress) -> BoxFuture<'a, Answer<()>> {
        Box::pin(Log::progress(self, cx, told))
    }
}

impl EventLog for Log {
    async fn fetch(&self, cx: &Context, want: Fetch) -> Answer<Fetched, FetchRefused> {
        Log::fetch(self, cx, want).await
    }

    async fn progress(&self, cx: &Context, told: Progress) -> Answer<()> {
        Log::progress(self, cx, told).await
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("store", &self.store)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}
