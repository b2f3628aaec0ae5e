//! A log in a directory of its own, and events to write to it.

use std::sync::Arc;

use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{Context, Event};
use divisi_events::{Fetch, Fetched, LaneWanted, Listeners, Log, LogOptions};
use divisi_sqlite::{Options, Sqlite, Synchronous};
use divisi_store::{
    Class, Epoch, Lane, Pos, Position, Read, Schema, Store, StoreError, StoreName, Stores, Tx,
};
use tempfile::TempDir;

#[divisi_macros::event(topic = "posts", key = "post", crate = divisi_call)]
pub(super) struct Posted {
    pub(super) post: String,
    pub(super) n: u64,
}

pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) log: Arc<Log>,
    pub(super) dir: TempDir,
}

impl Fixture {
    pub(super) async fn new(options: LogOptions) -> Fixture {
        Fixture::open(tempfile::tempdir().expect("a directory"), options).await
    }

    pub(super) async fn open(dir: TempDir, options: LogOptions) -> Fixture {
        // What a power cut would take is not looked at here.
        let sqlite = Sqlite::new(dir.path(), Options { synchronous: Synchronous::Off, ..Options::default() });
        let schema = Schema {
            topics: vec![Posted::TOPIC],
            readers: vec![("search".into(), Posted::TOPIC)],
            ..Schema::default()
        };
        let store = sqlite.open(&StoreName::of("posts"), &schema).await.expect("a store opens");
        let log = Log::new(store.clone(), Listeners::none().allow(Posted::TOPIC, "search"), options);
        Fixture { store, log, dir }
    }

    pub(super) async fn post(&self, lanes: &[u16], n: u64) -> Vec<Position> {
        let written = self
            .store
            .run(Class::Call, async |tx: &mut Tx| {
                for lane in lanes {
                    tx.emit(Posted { post: key_of(*lane), n });
                }
                Ok::<(), StoreError>(())
            })
            .await;
        written.expect("the store takes events").1
    }

    pub(super) async fn fetch(&self, want: Fetch) -> Fetched {
        self.log.fetch(&Context::root("search"), want).await.expect("the log answers")
    }

    pub(super) async fn epoch(&self) -> Epoch {
        let newest: Result<(Epoch,), StoreError> = self
            .store
            .read(async |read: &mut Read| read.query_one("SELECT max(epoch) FROM divisi_epoch", &[]).await)
            .await;
        newest.expect("the store can be read").0
    }
}

pub(super) fn want(epoch: Epoch, at: &[Pos; LANES as usize], wait_ms: u32) -> Fetch {
    let lanes = (0..).zip(at);
    Fetch {
        topic: Posted::TOPIC.into(),
        reader: "search".into(),
        lanes: lanes
            .map(|(lane, pos)| LaneWanted { lane: Lane(lane), epoch, pos: *pos, applied: *pos })
            .collect(),
        max_records: 512,
        max_bytes: u32::MAX,
        wait_ms,
    }
}

/// A key that falls into this lane.
pub(super) fn key_of(lane: u16) -> String {
    let fits = |n: &u32| lane_of(&n.to_string(), LANES) == lane;
    (0..100_000_u32).find(fits).expect("keys fall into every lane").to_string()
}
