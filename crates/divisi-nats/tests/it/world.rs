//! A shop that announces, a ledger that listens, and a NATS server between them; each side with a connection of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use divisi_contract::Event;
use divisi_events::conformance::Told;
use divisi_events::consumer::{Consumer, InputStatus, Observer};
use divisi_events::lane::Input;
use divisi_events::relay::{Granted, Lease, Relay};
use divisi_events::{Carrier, Failure, Feed, Handlers, Hint, Listeners, Log, LogOptions};
use divisi_nats::{Nats, Options};
use divisi_servers::Nats as Server;
use divisi_sqlite::{Options as SqliteOptions, Sqlite, Synchronous};
use divisi_store::outbox::PageWanted;
use divisi_store::{
    Class, Lane, Migration, Position, Read, Record, Schema, Store, StoreError, StoreName, Stores, Tx, params,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::support::{options, server, start_of, stranger, until};

#[divisi_macros::event(topic = "sales", key = "item", crate = divisi_call)]
pub(crate) struct Sold {
    pub(crate) item: String,
    pub(crate) n: i64,
}

pub(crate) const ITEMS: [&str; 8] = ["apple", "bread", "cheese", "dates", "eggs", "figs", "grapes", "honey"];
const STREAM: &str = "evt_sales";

/// What was sold, without any constraint that could hide a second time, and how much of it NATS brought.
const LEDGER: Migration = Migration::new(
    1,
    "what was sold",
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, item TEXT NOT NULL, n BIGINT NOT NULL);
     CREATE TABLE by_carrier (n INTEGER NOT NULL);
     INSERT INTO by_carrier VALUES (0);
     CREATE TRIGGER by_carrier AFTER UPDATE ON divisi_watermark WHEN new.carrier_hint IS NOT old.carrier_hint BEGIN
         UPDATE by_carrier SET n = n + new.pos - old.pos;
     END;",
);

pub(crate) struct World {
    _dir: TempDir,
    pub(crate) server: Server,
    options: Options,
    pub(crate) shop: Store,
    ledger: Store,
    pub(crate) log: Arc<Log>,
    sold: Arc<BTreeMap<&'static str, AtomicU64>>,
    relays: Vec<JoinHandle<()>>,
}

/// The ledger's consumer, running.
pub(crate) struct Running {
    pub(crate) observer: Observer,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Sales that go on.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn begin() -> World {
        World::begin_with(|_| {}).await
    }

    pub(crate) async fn begin_with(change: impl FnOnce(&mut Options)) -> World {
        let server = server().await;
        let mut options = options(&server);
        change(&mut options);
        World::begin_on(server, options).await
    }

    /// With a server, and carriers that reach it in their own way.
    pub(crate) async fn begin_on(server: Server, options: Options) -> World {
        let dir = tempfile::tempdir().expect("a directory");
        // What a power cut would take is not looked at here.
        let sqlite = Sqlite::new(
            dir.path(),
            SqliteOptions { synchronous: Synchronous::Off, ..SqliteOptions::default() },
        );
        let readers = vec![("ledger".into(), Sold::TOPIC)];
        let shop_schema = Schema { topics: vec![Sold::TOPIC], readers, ..Schema::default() };
        let ledger_schema = Schema { migrations: vec![LEDGER], ..Schema::default() };
        let shop = sqlite.open(&StoreName::of("shop"), &shop_schema).await.expect("the shop opens");
        let ledger = sqlite.open(&StoreName::of("ledger"), &ledger_schema).await.expect("the ledger opens");
        let listeners = Listeners::none().allow(Sold::TOPIC, "ledger").allow(Sold::TOPIC, "shop");
        let log = Log::new(shop.clone(), listeners, LogOptions::default());
        let sold = Arc::new(ITEMS.into_iter().map(|item| (item, AtomicU64::new(0))).collect());
        let mut world = World { _dir: dir, server, options, shop, ledger, log, sold, relays: Vec::new() };
        world.begin_on_carrier().await;
        let lease = Arc::new(Granted::new(world.shop.clone()));
        world.relay(lease).await;
        world
    }

    /// A relay more, with a connection of its own.
    pub(crate) async fn relay(&mut self, lease: Arc<dyn Lease>) {
        let carrier: Arc<dyn Carrier> = Arc::new(self.carrier().await);
        let lanes = (0..64).map(Lane);
        let relay = Relay::new(self.shop.clone(), Sold::TOPIC, lanes, self.feed(), carrier, lease);
        self.relays.push(tokio::spawn(relay.run(std::future::pending())));
    }

    pub(crate) async fn carrier(&self) -> Nats {
        Nats::connect(self.options.clone()).await.expect("a carrier")
    }

    fn feed(&self) -> Arc<dyn Feed> {
        Arc::clone(&self.log) as _
    }

    /// The ledger begins at the stream's start, and not on the log.
    async fn begin_on_carrier(&self) {
        self.carrier().await.check(Sold::TOPIC).await.expect("the stream is made");
        let hint: Hint = start_of(&self.server, STREAM).await;
        let sql = "INSERT INTO divisi_watermark (consumer, source, topic, lane, carrier_hint, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, 0)";
        let begun = self.ledger.run(Class::Consumer, async |tx: &mut Tx| {
            for lane in (0..64).map(Lane) {
                tx.execute(sql, params!["ledger", "shop", Sold::TOPIC, lane, hint.0]).await?;
            }
            Ok::<(), StoreError>(())
        });
        begun.await.expect("the ledger writes");
    }

    pub(crate) async fn consume(&self) -> Running {
        self.consume_from(self.feed()).await
    }

    pub(crate) async fn consume_from(&self, feed: Arc<dyn Feed>) -> Running {
        Running::start(self.consumer(feed).await)
    }

    /// An instance that applies the lanes that it is told.
    pub(crate) async fn consume_sharing(&self, told: Arc<Told>) -> Running {
        Running::start(self.consumer(self.feed()).await.share(told))
    }

    async fn consumer(&self, feed: Arc<dyn Feed>) -> Consumer {
        let handlers = Handlers::new().react::<Sold, _>(enter);
        Consumer::new("ledger", self.ledger.clone(), handlers)
            .from("shop", Sold::TOPIC, feed)
            .via(Arc::new(self.carrier().await))
    }

    /// Sells of every item without end, about so often a second.
    pub(crate) fn load(&self, per_second: u32) -> Load {
        let (stop, stopping) = watch::channel(false);
        let (shop, sold) = (self.shop.clone(), Arc::clone(&self.sold));
        let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
        let task = tokio::spawn(async move {
            for n in 0_usize.. {
                tick.tick().await;
                if *stopping.borrow() {
                    break;
                }
                sell(&shop, &sold, ITEMS[n % ITEMS.len()]).await;
            }
        });
        Load { stop, task }
    }

    /// Sells once.
    pub(crate) async fn sell(&self, item: &'static str) -> Vec<Position> {
        sell(&self.shop, &self.sold, item).await
    }

    pub(crate) fn n_sold(&self) -> u64 {
        self.sold.values().map(|n| n.load(Ordering::Acquire)).sum()
    }

    /// How many events NATS brought to the ledger.
    pub(crate) async fn by_carrier(&self) -> i64 {
        self.number("SELECT n FROM by_carrier").await
    }

    pub(crate) async fn n_entries(&self) -> i64 {
        self.number("SELECT count(*) FROM entries").await
    }

    async fn number(&self, sql: &'static str) -> i64 {
        let row: Result<(i64,), StoreError> =
            self.ledger.read(async |read: &mut Read| read.query_one(sql, &[]).await).await;
        row.expect("the ledger can be read").0
    }

    /// A page of the shop's log.
    pub(crate) async fn page(&self, wanted: PageWanted) -> Vec<Arc<Record>> {
        self.shop.backend().page(wanted).await.expect("the shop reads").records
    }

    /// How many messages the stream holds; 0 while nobody can tell.
    pub(crate) async fn n_messages(&self) -> u64 {
        match stranger(&self.server).await.get_stream(STREAM).await {
            Ok(stream) => stream.cached_info().state.messages,
            Err(_) => 0,
        }
    }

    /// Waits until all that was sold is in the ledger, and looks that it is there once and in order.
    pub(crate) async fn settles(&self) {
        let n_sold = self.n_sold();
        let enough = |n: &i64| n.unsigned_abs() >= n_sold;
        until(
            "everything is in the ledger",
            Duration::from_secs(30),
            async || self.n_entries().await,
            enough,
        )
        .await;
        for (item, sold) in &*self.sold {
            let rows: Result<Vec<(i64,)>, StoreError> = self
                .ledger
                .read(async |read: &mut Read| {
                    read.query("SELECT n FROM entries WHERE item = $1 ORDER BY id", params![item]).await
                })
                .await;
            let entries: Vec<i64> = rows.expect("the ledger reads").into_iter().map(|(n,)| n).collect();
            let sold = i64::try_from(sold.load(Ordering::Acquire)).expect("a number");
            assert_eq!(entries, (1..=sold).collect::<Vec<_>>(), "{item}: none lost, none doubled, in order");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.relays.iter().for_each(JoinHandle::abort);
    }
}

impl Running {
    fn start(consumer: Consumer) -> Running {
        let (stop, mut stopping) = watch::channel(false);
        let observer = consumer.observe();
        let task = tokio::spawn(async move {
            consumer
                .run(async move {
                    let _ = stopping.wait_for(|stop| *stop).await;
                })
                .await;
        });
        Running { observer, stop, task }
    }

    pub(crate) fn input(&self) -> InputStatus {
        self.observer.status().inputs.remove(0)
    }

    /// These took effect within so long.
    pub(crate) async fn reached(&self, positions: &[Position], within: Duration) {
        let began = Instant::now();
        let reached = timeout(within, self.observer.reached(positions)).await;
        assert!(
            reached.is_ok(),
            "{positions:?} not within {:?}; {:#?}",
            began.elapsed(),
            busy(&self.input())
        );
    }

    /// All lanes in which something was sold follow NATS.
    pub(crate) async fn follows_the_carrier(&self) {
        let all = |lanes: &Vec<(u16, i64, Input)>| lanes.iter().all(|(_, _, input)| *input == Input::Carrier);
        until("all lanes follow NATS", Duration::from_secs(40), async || busy(&self.input()), all).await;
    }

    /// Something went to the log.
    pub(crate) async fn falls(&self, before: u64) {
        let fell = |falls: &u64| *falls > before;
        until("a lane goes to the log", Duration::from_secs(10), async || self.input().falls, fell).await;
    }

    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        (&mut self.task).await.expect("it does not panic");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Load {
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        (&mut self.task).await.expect("the shop takes it");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The lanes in which something took effect.
fn busy(input: &InputStatus) -> Vec<(u16, i64, Input)> {
    let busy = (0..).zip(&input.lanes).filter(|(_, lane)| lane.pos.0 > 0);
    busy.map(|(n, lane)| (n, lane.pos.0, lane.input)).collect()
}

async fn sell(shop: &Store, sold: &BTreeMap<&'static str, AtomicU64>, item: &'static str) -> Vec<Position> {
    let counter = &sold[item];
    let positions = shop.run(Class::Call, async |tx: &mut Tx| {
        let n = counter.fetch_add(1, Ordering::AcqRel) + 1;
        tx.emit(Sold { item: item.to_owned(), n: n.try_into().unwrap_or(i64::MAX) });
        Ok::<(), StoreError>(())
    });
    positions.await.expect("the shop takes it").1
}

async fn enter(tx: &mut Tx, sold: &Sold) -> Result<(), Failure> {
    tx.execute("INSERT INTO entries (item, n) VALUES ($1, $2)", params![sold.item, sold.n]).await?;
    Ok(())
}
