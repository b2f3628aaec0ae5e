//! Two services, one of which listens to the other's log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::Event;
use divisi_events::consumer::{Consumer, Observer, Stopped};
use divisi_events::{Failure, Feed, Handlers, Listeners, Log, LogOptions};
use divisi_sqlite::{Options, Sqlite, Synchronous};
use divisi_store::{
    Class, Migration, Position, Read, Schema, Store, StoreError, StoreName, Stores, Tx, params,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a test waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

#[divisi_macros::event(topic = "sales", key = "item", crate = divisi_call)]
pub(super) struct Sold {
    pub(super) item: String,
    pub(super) n: i64,
}

/// The shop announces, the ledger listens. Each has a file in `dir`.
pub(super) struct Pair {
    dir: PathBuf,
    pub(super) shop: Store,
    pub(super) ledger: Store,
    pub(super) log: Arc<Log>,
}

/// The ledger's consumer, running.
pub(super) struct Running {
    pub(super) observer: Observer,
    stop: watch::Sender<bool>,
    task: JoinHandle<Stopped>,
}

const LEDGER: Migration = Migration::new(
    1,
    "what was sold, without any constraint that could hide a second time",
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, item TEXT NOT NULL, n BIGINT NOT NULL);",
);

impl Pair {
    pub(super) async fn open(dir: &Path) -> Pair {
        let shop_schema = Schema {
            topics: vec![Sold::TOPIC],
            readers: vec![("ledger".into(), Sold::TOPIC)],
            ..Schema::default()
        };
        let ledger_schema = Schema { migrations: vec![LEDGER], ..Schema::default() };
        let sqlite = sqlite(dir);
        let shop = sqlite.open(&StoreName::of("shop"), &shop_schema).await.expect("the shop opens");
        let ledger = sqlite.open(&StoreName::of("ledger"), &ledger_schema).await.expect("the ledger opens");
        let listeners = Listeners::none().allow(Sold::TOPIC, "ledger");
        let log = Log::new(shop.clone(), listeners, LogOptions::default());
        Pair { dir: dir.to_owned(), shop, ledger, log }
    }

    pub(super) fn shop_file(&self) -> PathBuf {
        sqlite(&self.dir).path(&StoreName::of("shop"))
    }

    pub(super) async fn close(self) {
        self.log.close();
        self.shop.close().await;
        self.ledger.close().await;
    }

    /// Sells the next numbers of an item, one transaction each.
    pub(super) async fn sell(&self, item: &str, numbers: impl IntoIterator<Item = i64>) -> Vec<Position> {
        let mut positions = Vec::new();
        for n in numbers {
            let sold = self.shop.run(Class::Call, async |tx: &mut Tx| {
                tx.emit(Sold { item: item.to_owned(), n });
                Ok::<(), StoreError>(())
            });
            positions.extend(sold.await.expect("the shop takes it").1);
        }
        positions
    }

    pub(super) fn consumer(&self) -> Consumer {
        self.consumer_of(Arc::clone(&self.log) as _)
    }

    fn consumer_of(&self, feed: Arc<dyn Feed>) -> Consumer {
        let handlers = Handlers::new().react::<Sold, _>(enter);
        Consumer::new("ledger", self.ledger.clone(), handlers).from("shop", Sold::TOPIC, feed)
    }

    pub(super) fn start(&self) -> Running {
        self.start_on(Arc::clone(&self.log) as _)
    }

    /// The same, through something that stands before the log.
    pub(super) fn start_on(&self, feed: Arc<dyn Feed>) -> Running {
        Running::of(self.consumer_of(feed))
    }

    /// What the ledger has entered, in order.
    pub(super) async fn all_entries(&self) -> Vec<(String, i64)> {
        let rows: Result<_, StoreError> = self
            .ledger
            .read(async |read: &mut Read| read.query("SELECT item, n FROM entries ORDER BY id", &[]).await)
            .await;
        rows.expect("the ledger can be read")
    }

    /// What the ledger has entered of one item, in order.
    pub(super) async fn entries(&self, item: &str) -> Vec<i64> {
        let rows: Result<Vec<(i64,)>, StoreError> = self
            .ledger
            .read(async |read: &mut Read| {
                read.query("SELECT n FROM entries WHERE item = $1 ORDER BY id", params![item]).await
            })
            .await;
        rows.expect("the ledger can be read").into_iter().map(|(n,)| n).collect()
    }
}

impl Running {
    pub(super) fn of(consumer: Consumer) -> Running {
        let (stop, mut stopping) = watch::channel(false);
        let observer = consumer.observe();
        let task = tokio::spawn(consumer.run(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        }));
        Running { observer, stop, task }
    }

    pub(super) async fn reached(&self, positions: &[Position]) {
        let reached = tokio::time::timeout(PATIENCE, self.observer.reached(positions)).await;
        assert!(reached.is_ok(), "{positions:?} not reached; {:#?}", self.observer.status());
    }

    pub(super) async fn stop(mut self) -> Stopped {
        self.stop.send_replace(true);
        (&mut self.task).await.expect("it does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn enter(tx: &mut Tx, sold: &Sold) -> Result<(), Failure> {
    if sold.item == "poison" {
        return Err(Failure::permanent("it cannot be sold"));
    }
    if sold.item == "late" {
        return Err(Failure::transient("something else is away"));
    }
    let sql = "INSERT INTO entries (item, n) VALUES ($1, $2)";
    tx.execute(sql, params![sold.item, sold.n]).await?;
    Ok(())
}

fn sqlite(dir: &Path) -> Sqlite {
    // A process that is killed loses nothing of what it wrote; what a power cut would take is not looked at here.
    Sqlite::new(dir, Options { synchronous: Synchronous::Off, ..Options::default() })
}
