//! A log to ask, and what was written to it.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{Answer, Context, Event};
use divisi_store::{Class, Epoch, Lane, Pos, Position, Read, Store, StoreError, Tx};
use tokio::time::Instant;

use super::{LISTENER, Make, schema};
use crate::fetch::{BYTES_MAX, Feed, Fetch, FetchRefused, Fetched, LaneWanted, RECORDS_MAX};
use crate::log_feed::{Listeners, Log, LogOptions};
use crate::tail::TopicTail;

/// How long the suite waits for what must happen, before it says that it did not.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// A wait that is not over before the suite has looked.
pub(super) const LONG_MS: u32 = 5_000;

/// Something was noted.
#[divisi_macros::event(topic = "conformance-notes", key = "key", crate = divisi_call)]
pub(super) struct Noted {
    pub(super) key: String,
    pub(super) n: i64,
    pub(super) text: String,
}

/// A log, the way to it, and its store.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) log: Arc<Log>,
    pub(super) feed: Arc<dyn Feed>,
    pub(super) cx: Context,
}

impl Bench {
    pub(super) async fn new(make: &Make<'_>) -> Bench {
        let store = (make.open)(schema()).await;
        let listeners = Listeners::none().allow(Noted::TOPIC, LISTENER);
        let log = Log::new(store.clone(), listeners, LogOptions::default());
        let feed = (make.reach)(Arc::clone(&log), LISTENER.into()).await;
        Bench { store, log, feed, cx: Context::root(LISTENER) }
    }

    /// Notes something in each of these lanes, in one transaction.
    pub(super) async fn note(&self, lanes: &[u16]) -> Vec<Position> {
        self.note_text(lanes, "").await
    }

    pub(super) async fn note_text(&self, lanes: &[u16], text: &str) -> Vec<Position> {
        let written = self
            .store
            .run(Class::Call, async |tx: &mut Tx| {
                for (n, lane) in (0..).zip(lanes) {
                    tx.emit(Noted { key: key_of(*lane), n, text: text.to_owned() });
                }
                Ok::<(), StoreError>(())
            })
            .await;
        written.expect("the store takes events").1
    }

    /// Asks for what comes after these positions, as a reader of today's epoch.
    pub(super) async fn ask(&self, lanes: &[(u16, i64)], max_records: u32, wait_ms: u32) -> Fetched {
        let want = Fetch { max_records, wait_ms, ..want(self.epoch().await, lanes) };
        self.fetch(want).await.expect("the log answers")
    }

    pub(super) async fn fetch(&self, want: Fetch) -> Answer<Fetched, FetchRefused> {
        self.feed.fetch(&self.cx, want).await
    }

    /// Asks in a task of its own, and waits until the question waits at the log.
    pub(super) async fn ask_and_wait(
        &self,
        want: Fetch,
    ) -> tokio::task::JoinHandle<Answer<Fetched, FetchRefused>> {
        let before = self.tail().n_waiting();
        let (feed, cx) = (Arc::clone(&self.feed), self.cx.clone());
        let asked = tokio::spawn(async move { feed.fetch(&cx, want).await });
        eventually("the question waits", || self.tail().n_waiting() > before).await;
        asked
    }

    pub(super) async fn epoch(&self) -> Epoch {
        let newest: Result<Option<(Epoch,)>, StoreError> = self
            .store
            .read(async |read: &mut Read| {
                read.query_opt("SELECT epoch FROM divisi_epoch ORDER BY epoch DESC LIMIT 1", &[]).await
            })
            .await;
        newest.expect("the store can be read").expect("an epoch began when it was opened").0
    }

    pub(super) fn tail(&self) -> &Arc<TopicTail> {
        self.log.tail().topic(Noted::TOPIC).expect("the source owns the topic")
    }
}

/// What comes after these positions, in `epoch`, with room for everything and no wait.
pub(super) fn want(epoch: Epoch, lanes: &[(u16, i64)]) -> Fetch {
    Fetch {
        topic: Noted::TOPIC.into(),
        reader: LISTENER.into(),
        lanes: lanes.iter().map(|(lane, pos)| wanted(epoch, *lane, *pos)).collect(),
        max_records: RECORDS_MAX,
        max_bytes: BYTES_MAX,
        wait_ms: 0,
    }
}

pub(super) fn wanted(epoch: Epoch, lane: u16, pos: i64) -> LaneWanted {
    LaneWanted { lane: Lane(lane), epoch, pos: Pos(pos), applied: Pos(pos) }
}

/// A key that falls into this lane.
pub(super) fn key_of(lane: u16) -> String {
    let fits = |n: &u32| lane_of(&n.to_string(), LANES) == lane;
    (0..100_000_u32).find(fits).expect("keys fall into every lane").to_string()
}

/// Where the records of an answer stand, in its order.
pub(super) fn places(fetched: &Fetched) -> Vec<(u16, i64)> {
    fetched.records.iter().map(|record| (record.lane.0, record.pos.0)).collect()
}

pub(super) async fn eventually(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The outcome of a task that must end soon.
pub(super) async fn soon<T>(what: &str, task: tokio::task::JoinHandle<T>) -> T {
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => panic!("{what}: {error}"),
        Err(_) => panic!("{what}: not after {PATIENCE:?}"),
    }
}
