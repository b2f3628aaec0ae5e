//! The service that announces: one database file after another.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use divisi_contract::{CallError, Context};
use divisi_events::{Feed, Listeners, Log, LogOptions};
use divisi_store::outbox::PageWanted;
use divisi_store::{Clock, Epoch, Epochs, Lane, Pos, Record, Schema, Store, StoreName, Tx};
use divisi_testkit::Disk;
use divisi_testkit::disk::{BASE_MICROS, Place, Template};

use super::counted::{Counted, TOPIC, lanes};
use super::reader::READER;

pub(super) const SOURCE: &str = "source";

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let readers = vec![(READER.into(), TOPIC)];
    let schema = Schema { topics: vec![TOPIC], readers, ..Schema::default() };
    Template::make(StoreName::of(SOURCE), schema).expect("a template")
});

/// One life of the source's database.
pub(super) struct Life {
    pub(super) number: usize,
    pub(super) place: Place,
    pub(super) store: Store,
    pub(super) log: Arc<Log>,
    /// The epoch that its opening began.
    pub(super) epoch: Epoch,
}

impl Life {
    /// The first one.
    pub(super) async fn first(disk: &mut Disk) -> Life {
        let place = disk.fresh(&TEMPLATE).expect("a copy of the template");
        Life::open(disk, 0, place, 0).await
    }

    /// A copy of this one, as it is now.
    pub(super) fn copy(&self, disk: &mut Disk) -> Place {
        disk.copy(&self.place, &TEMPLATE).expect("a copy of the database")
    }

    /// A life that begins with the file at `from`, which stays as it is; its clock is off by so much.
    pub(super) async fn begin(disk: &mut Disk, number: usize, from: &Place, clock_off_micros: i64) -> Life {
        let place = disk.copy(from, &TEMPLATE).expect("a copy of the database");
        Life::open(disk, number, place, clock_off_micros).await
    }

    /// The same file again, after it was closed.
    pub(super) async fn reopen(&mut self, disk: &Disk) {
        *self = Life::open(disk, self.number, self.place.clone(), 0).await;
    }

    async fn open(disk: &Disk, number: usize, place: Place, clock_off_micros: i64) -> Life {
        let clock = Clock::simulated(BASE_MICROS + clock_off_micros);
        let store = disk.open(&place, &TEMPLATE, clock).await.expect("the source opens");
        let listeners = Listeners::none().allow(TOPIC, READER).allow(TOPIC, SOURCE);
        let log = Log::new(store.clone(), listeners, LogOptions::default());
        let mut life = Life { number, place, store, log, epoch: Epoch(0) };
        life.epoch = life.epochs().await.current();
        life
    }

    pub(super) fn feed(&self) -> Arc<dyn Feed> {
        Arc::clone(&self.log) as Arc<dyn Feed>
    }

    /// Announces these events in one transaction.
    pub(super) async fn announce(&self, events: Vec<Counted>) {
        let announced: Result<(), CallError> = self
            .store
            .transact(&Context::root(SOURCE), async |tx: &mut Tx| {
                for event in events {
                    tx.emit(event);
                }
                Ok(())
            })
            .await;
        announced.expect("the source writes");
    }

    pub(super) async fn records(&self, lane: Lane) -> Vec<Arc<Record>> {
        self.page(vec![(lane, Pos(0))], 10_000).await.records
    }

    /// The uids in a lane, in order.
    pub(super) async fn uids(&self, lane: Lane) -> Vec<i64> {
        let records = self.records(lane).await;
        records.iter().map(|record| record.decode::<Counted>().expect("an event of ours").uid).collect()
    }

    pub(super) async fn heads(&self) -> [(Lane, Pos); 2] {
        let page = self.page(lanes().map(|lane| (lane, Pos(0))).to_vec(), 0).await;
        [page.heads[0], page.heads[1]]
    }

    pub(super) async fn epochs(&self) -> Epochs {
        self.page(lanes().map(|lane| (lane, Pos(0))).to_vec(), 0).await.epochs
    }

    /// The epochs that began in this life and in no other.
    pub(super) async fn own_epochs(&self) -> BTreeSet<Epoch> {
        self.epochs().await.known.into_iter().filter(|epoch| *epoch >= self.epoch).collect()
    }

    async fn page(&self, lanes: Vec<(Lane, Pos)>, max_records: usize) -> divisi_store::outbox::Page {
        let wanted = PageWanted { topic: TOPIC.into(), lanes, max_records, max_bytes: usize::MAX };
        self.store.backend().page(wanted).await.expect("the source reads")
    }
}
