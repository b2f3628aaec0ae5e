//! The service that listens: one database, and consumers that come, go and linger.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use divisi_events::consumer::{Consumer, ConsumerOptions, Observer};
use divisi_events::{Carrier, Failure, Feed, Handlers, Hint};
use divisi_store::{
    Class, Clock, Epoch, Lane, Migration, Pos, Read, Schema, Store, StoreError, StoreName, Tx, TxFailed,
    params,
};
use divisi_testkit::Disk;
use divisi_testkit::disk::{BASE_MICROS, Template};
use tokio::task::JoinHandle;

use super::counted::{Counted, TOPIC, lane, lanes};
use super::source::SOURCE;

pub(super) const READER: &str = "reader";

/// What took effect and what went back, in one order: both are rows of the transactions that did it.
const TABLES: &str = "
    CREATE TABLE history (seq INTEGER PRIMARY KEY, lane INTEGER NOT NULL, went_back INTEGER NOT NULL, pos INTEGER,
        epoch INTEGER, uid INTEGER, key TEXT, version INTEGER) STRICT;
    CREATE INDEX history_key ON history (key, version);
    CREATE TABLE by_carrier (n INTEGER NOT NULL) STRICT;
    INSERT INTO by_carrier VALUES (0);
    CREATE TRIGGER by_carrier AFTER UPDATE ON divisi_watermark WHEN new.carrier_hint IS NOT old.carrier_hint BEGIN
        UPDATE by_carrier SET n = n + new.pos - old.pos;
    END;
    CREATE TRIGGER went_back AFTER UPDATE ON divisi_watermark WHEN new.pos < old.pos BEGIN
        INSERT INTO history (lane, went_back, pos, epoch) VALUES (new.lane, 1, new.pos, new.epoch);
    END;";

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let migrations = vec![Migration::new(1, "what took effect", TABLES)];
    let schema = Schema { migrations, ..Schema::default() };
    Template::make(StoreName::of(READER), schema).expect("a template")
});

pub(super) struct Reader {
    pub(super) store: Store,
    handlers: Handlers,
}

/// A consumer at work, or a zombie of one.
pub(super) struct Working {
    pub(super) number: usize,
    pub(super) observer: Observer,
    task: JoinHandle<()>,
}

/// A row of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Applied { uid: i64, key: String, version: i64 },
    WentBack { to: Pos, epoch: Epoch },
}

impl Reader {
    pub(super) async fn open(disk: &mut Disk) -> Reader {
        let place = disk.fresh(&TEMPLATE).expect("a copy of the template");
        let clock = Clock::simulated(BASE_MICROS);
        let store = disk.open(&place, &TEMPLATE, clock).await.expect("the reader opens");
        FAILED.with_borrow_mut(BTreeMap::clear);
        Reader { store, handlers: Handlers::new().react::<Counted, _>(count) }
    }

    /// How many events the carrier has brought.
    pub(super) async fn by_carrier(&self) -> u64 {
        let row: Result<(i64,), StoreError> = self
            .store
            .read(async |read: &mut Read| read.query_one("SELECT n FROM by_carrier", params![]).await)
            .await;
        row.expect("the reader reads").0.unsigned_abs()
    }

    /// Our lanes are to be read from here on a carrier: consumers begin there, and not on the log.
    pub(super) async fn begin_on_carrier(&self, hint: &Hint) {
        let sql = "INSERT INTO divisi_watermark (consumer, source, topic, lane, carrier_hint, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, 0)";
        let inserted: Result<((), _), TxFailed<StoreError>> = self
            .store
            .run(Class::Consumer, async |tx: &mut Tx| {
                for lane in lanes() {
                    tx.execute(sql, params![READER, SOURCE, TOPIC, lane, hint.0]).await?;
                }
                Ok(())
            })
            .await;
        inserted.expect("the reader writes");
    }

    /// The keys that are parked, for people.
    pub(super) async fn parked_keys(&self) -> String {
        let rows: Result<Vec<divisi_store::Row>, StoreError> = self
            .store
            .read(async |read: &mut Read| read.query("SELECT * FROM divisi_parked_key", &[]).await)
            .await;
        format!("{rows:?}")
    }

    /// A consumer more. Those before it go on: nobody has told them.
    pub(super) fn consume(
        &self,
        number: usize,
        feed: Arc<dyn Feed>,
        carrier: Option<Arc<dyn Carrier>>,
    ) -> Working {
        let options = ConsumerOptions {
            batch_events_max: 3,
            redrive: divisi_events::consumer::options::Backoff {
                min: Duration::from_millis(250),
                max: Duration::from_secs(2),
            },
            ..ConsumerOptions::by_count()
        };
        let mut consumer = Consumer::new(READER, self.store.clone(), self.handlers.clone())
            .options(options)
            .from(SOURCE, TOPIC, feed);
        if let Some(carrier) = carrier {
            consumer = consumer.via(carrier);
        }
        let observer = consumer.observe();
        let task = tokio::spawn(async move {
            consumer.run(pending()).await;
        });
        Working { number, observer, task }
    }

    pub(super) async fn watermarks(&self) -> Vec<(Lane, Epoch, Pos)> {
        let sql = "SELECT lane, epoch, pos FROM divisi_watermark ORDER BY lane";
        let rows: Result<Vec<(Lane, Epoch, Pos)>, StoreError> =
            self.store.read(async |read: &mut Read| read.query(sql, params![]).await).await;
        rows.expect("the reader reads").into_iter().filter(|(lane, _, _)| lanes().contains(lane)).collect()
    }

    pub(super) async fn parked(&self) -> i64 {
        let sql = "SELECT count(*) FROM divisi_parked_key";
        let row: Result<(i64,), StoreError> =
            self.store.read(async |read: &mut Read| read.query_one(sql, params![]).await).await;
        row.expect("the reader reads").0
    }

    /// What happened in a lane, in order.
    pub(super) async fn history(&self, lane: Lane) -> Vec<Step> {
        type Row = (i64, Option<Pos>, Option<Epoch>, Option<i64>, Option<String>, Option<i64>);
        let sql = "SELECT went_back, pos, epoch, uid, key, version FROM history WHERE lane = $1 ORDER BY seq";
        let rows: Result<Vec<Row>, StoreError> =
            self.store.read(async |read: &mut Read| read.query(sql, params![lane]).await).await;
        let step = |(went_back, pos, epoch, uid, key, version): Row| match went_back {
            0 => Step::Applied {
                uid: uid.unwrap_or_default(),
                key: key.unwrap_or_default(),
                version: version.unwrap_or_default(),
            },
            _ => Step::WentBack { to: pos.unwrap_or_default(), epoch: epoch.unwrap_or_default() },
        };
        rows.expect("the reader reads").into_iter().map(step).collect()
    }
}

impl Working {
    /// What it has reported as lost.
    pub(super) fn diverged(&self) -> Vec<(Lane, Epoch, Pos, Pos)> {
        let inputs = self.observer.status().inputs;
        let diverged = inputs.iter().flat_map(|input| &input.diverged);
        diverged.map(|lost| (lost.lane, lost.epoch, lost.shared, lost.applied)).collect()
    }

    /// How often one of its lanes went from the carrier to the log.
    pub(super) fn falls(&self) -> u64 {
        self.observer.status().inputs.iter().map(|input| input.falls).sum()
    }

    /// How it stands, for people.
    pub(super) fn state(&self) -> String {
        let status = self.observer.status();
        let Some(input) = status.inputs.first() else { return "no input".to_owned() };
        let lanes = lanes().map(|lane| input.lanes.get(usize::from(lane.0)).cloned());
        format!(
            "consumer {}: epoch {}, trouble {:?}, ended {:?}, {} repeats, {} gaps, {lanes:?}",
            self.number, input.epoch.0, input.trouble, input.ended, input.repeats, input.gaps
        )
    }
}

impl Drop for Working {
    /// A consumer crashes: what it had under way is undone.
    fn drop(&mut self) {
        self.task.abort();
    }
}

thread_local! {
    /// How often the handler of each event has failed in this simulation.
    static FAILED: RefCell<BTreeMap<i64, u8>> = const { RefCell::new(BTreeMap::new()) };
}

/// Writes down the event, if its turn has come.
async fn count(tx: &mut Tx, event: &Counted) -> Result<(), Failure> {
    let Counted { key, version, uid, after, failures } = event;
    if let Some((key, version)) = after {
        let sql = "SELECT count(*) FROM history WHERE key = $1 AND version = $2";
        let (found,): (i64,) = tx.query_one(sql, params![key, version]).await?;
        if found == 0 {
            return Err(Failure::not_yet::<Counted>(key.clone()));
        }
    }
    let sql = "INSERT INTO history (lane, went_back, uid, key, version) VALUES ($1, 0, $2, $3, $4)";
    tx.execute(sql, params![lane(key), uid, key, version]).await?;
    let failed = FAILED.with_borrow_mut(|failed| {
        let n_failed = failed.entry(*uid).or_default();
        *n_failed += 1;
        *n_failed
    });
    // After it has written: its row must go as well.
    match failed <= *failures {
        true if uid % 2 == 0 => Err(Failure::transient("it will work later")),
        true => Err(Failure::Unclassified("it is not known whether it will work".to_owned())),
        false => Ok(()),
    }
}
