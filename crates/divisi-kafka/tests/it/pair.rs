//! Two services with a broker between them: the shop announces, the ledger listens.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::Event;
use divisi_events::conformance::Told;
use divisi_events::consumer::{Consumer, ConsumerStatus, Observer, Stopped};
use divisi_events::lane::Input;
use divisi_events::relay::{Granted, Relay};
use divisi_events::{Carrier, Failure, Handlers, Listeners, Log, LogOptions};
use divisi_sqlite::{Options, Sqlite, Synchronous};
use divisi_store::{
    Class, Lane, Migration, Position, Read, Schema, Store, StoreError, StoreName, Stores, Tx, params,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a test waits for what must happen. The broker syncs each record, so on a slow disk it takes long to catch up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const TOPIC: &str = Sold::TOPIC;

#[divisi_macros::event(topic = "sales", key = "item", crate = divisi_call)]
pub(crate) struct Sold {
    pub(crate) item: String,
    pub(crate) n: i64,
}

/// Each has a file in a directory of the test.
pub(crate) struct Pair {
    pub(crate) shop: Store,
    pub(crate) ledger: Store,
    pub(crate) log: Arc<Log>,
}

/// The ledger's consumer, running.
pub(crate) struct Running {
    pub(crate) observer: Observer,
    stop: watch::Sender<bool>,
    task: JoinHandle<Stopped>,
}

/// The shop's relay, running until it is dropped.
pub(crate) struct Relaying(JoinHandle<()>);

const LEDGER: Migration = Migration::new(
    1,
    "what was sold, without any constraint that could hide a second time",
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, item TEXT NOT NULL, n BIGINT NOT NULL);",
);

impl Pair {
    pub(crate) async fn open(directory: &Path) -> Pair {
        let readers = vec![("ledger".into(), TOPIC), (Relay::reader_name("kafka").into(), TOPIC)];
        let shop_schema = Schema { topics: vec![TOPIC], readers, ..Schema::default() };
        let ledger_schema = Schema { migrations: vec![LEDGER], ..Schema::default() };
        let options = Options { synchronous: Synchronous::Off, ..Options::default() };
        let sqlite = Sqlite::new(directory, options);
        let shop = sqlite.open(&StoreName::of("shop"), &shop_schema).await.expect("the shop opens");
        let ledger = sqlite.open(&StoreName::of("ledger"), &ledger_schema).await.expect("the ledger opens");
        let listeners = Listeners::none().allow(TOPIC, "ledger").allow(TOPIC, "shop");
        let log = Log::new(shop.clone(), listeners, LogOptions::default());
        Pair { shop, ledger, log }
    }

    /// Everything that uses it must be over.
    pub(crate) async fn close(&self) {
        self.log.close();
        self.shop.close().await;
        self.ledger.close().await;
    }

    /// Sells the next number of each of these items, in one transaction.
    pub(crate) async fn sell(&self, items: &[String], n: i64) -> Vec<Position> {
        let sold = self.shop.run(Class::Call, async |tx: &mut Tx| {
            for item in items {
                tx.emit(Sold { item: item.clone(), n });
            }
            Ok::<(), StoreError>(())
        });
        sold.await.expect("the shop takes it").1
    }

    pub(crate) fn relay(&self, carrier: Arc<dyn Carrier>) -> Relaying {
        let (feed, lease) = (Arc::clone(&self.log) as _, Arc::new(Granted::new(self.shop.clone())));
        let relay = Relay::new(self.shop.clone(), TOPIC, (0..64).map(Lane), feed, carrier, lease);
        Relaying(tokio::spawn(relay.run(std::future::pending())))
    }

    pub(crate) fn consume(&self, carrier: Arc<dyn Carrier>) -> Running {
        Running::start(self.consumer(carrier))
    }

    /// An instance that applies the lanes that it is told.
    pub(crate) fn consume_sharing(&self, carrier: Arc<dyn Carrier>, told: Arc<Told>) -> Running {
        Running::start(self.consumer(carrier).share(told))
    }

    fn consumer(&self, carrier: Arc<dyn Carrier>) -> Consumer {
        let handlers = Handlers::new().react::<Sold, _>(enter);
        Consumer::new("ledger", self.ledger.clone(), handlers)
            .from("shop", TOPIC, Arc::clone(&self.log) as _)
            .via(carrier)
    }

    /// What the ledger has entered of one item, in order.
    pub(crate) async fn entries(&self, item: &str) -> Vec<i64> {
        let sql = "SELECT n FROM entries WHERE item = $1 ORDER BY id";
        let rows = self.ledger.read(async |read: &mut Read| read.query(sql, params![item]).await);
        let rows: Result<Vec<(i64,)>, StoreError> = rows.await;
        rows.expect("the ledger can be read").into_iter().map(|(n,)| n).collect()
    }
}

impl Running {
    fn start(consumer: Consumer) -> Running {
        let (stop, mut stopping) = watch::channel(false);
        let observer = consumer.observe();
        let task = tokio::spawn(consumer.run(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        }));
        Running { observer, stop, task }
    }

    /// Waits until the status is as it is wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        within: Duration,
        wanted: impl FnMut(&ConsumerStatus) -> bool,
    ) {
        let waited = tokio::time::timeout(within, self.observer.until(wanted)).await;
        assert!(waited.is_ok(), "{what}: not within {within:?}; {:#?}", self.observer.status());
    }

    pub(crate) async fn reached(&self, positions: &[Position]) {
        self.until("all that was sold is entered", PATIENCE, |status| status.has_reached(positions)).await;
    }

    /// Waits until so many lanes follow the carrier at the least.
    pub(crate) async fn follows_the_carrier(&self, lanes: usize) {
        let what = format!("{lanes} lanes follow the carrier");
        self.until(&what, PATIENCE, |status| on_carrier(status) >= lanes).await;
    }

    pub(crate) async fn stop(mut self) -> Stopped {
        self.stop.send_replace(true);
        (&mut self.task).await.expect("it does not panic")
    }
}

/// How many lanes follow the carrier.
pub(crate) fn on_carrier(status: &ConsumerStatus) -> usize {
    let lanes = status.inputs.iter().flat_map(|input| &input.lanes);
    lanes.filter(|lane| lane.input == Input::Carrier).count()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn enter(tx: &mut Tx, sold: &Sold) -> Result<(), Failure> {
    let sql = "INSERT INTO entries (item, n) VALUES ($1, $2)";
    tx.execute(sql, params![sold.item, sold.n]).await?;
    Ok(())
}
