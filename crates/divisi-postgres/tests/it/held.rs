//! Events whose row somebody holds for longer than a lock is waited for, with handlers that wait for no statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{CallError, Event};
use divisi_events::consumer::{Consumer, Parked, Stopped};
use divisi_events::handler::Handler;
use divisi_events::{Failure, Handlers, Listeners, Log, LogOptions};
use divisi_postgres::Options;
use divisi_store::conformance::account::{Moved, cx, deposit, schema};
use divisi_store::parked::State;
use divisi_store::{BoxFuture, Migration, Read, Schema, Store, StoreError, StoreName, Stores, Tx, params};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fixture::{Databases, databases, eventually, options};

const EFFECTS: Migration = Migration::new(
    1,
    "effects",
    "CREATE TABLE effect (id TEXT PRIMARY KEY, n BIGINT NOT NULL); INSERT INTO effect VALUES ('a', 0)",
);
/// How long a lock is waited for here.
const LOCK_TIMEOUT: Duration = Duration::from_millis(200);

/// Adds an effect, or refuses for good.
#[derive(Clone, Default)]
struct Add {
    refuses: Arc<AtomicBool>,
    n_calls: Arc<AtomicUsize>,
}

impl<'a> Handler<'a, Tx, Moved> for Add {
    type Working = BoxFuture<'a, Result<(), Failure>>;

    fn handle(&self, tx: &'a mut Tx, moved: &'a Moved) -> Self::Working {
        self.n_calls.fetch_add(1, Ordering::SeqCst);
        let refuses = self.refuses.load(Ordering::SeqCst);
        Box::pin(async move {
            if refuses {
                return Err(Failure::Permanent("not today".into()));
            }
            tx.send("UPDATE effect SET n = n + 1 WHERE id = $1", params![moved.account]).await?;
            Ok(())
        })
    }
}

/// A service that counts what a bank tells it, and the bank.
struct Counting {
    databases: Databases,
    bank: Store,
    effects: Store,
}

impl Counting {
    async fn open() -> Counting {
        let databases = databases().await;
        let bank = databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("it opens");
        let quick = Options { lock_timeout: LOCK_TIMEOUT, ..options() };
        let tables = Schema { migrations: vec![EFFECTS], ..Schema::default() };
        let effects = databases.stores_with(quick).open(&StoreName::of("effects"), &tables).await;
        Counting { databases, bank, effects: effects.expect("it opens") }
    }

    /// Has it consume until the answer is told to stop.
    fn consume(&self, add: Add) -> (Parked, oneshot::Sender<()>, JoinHandle<Stopped>) {
        let listeners = Listeners::none().allow(Moved::TOPIC, "effects");
        let log = Log::new(self.bank.clone(), listeners, LogOptions::default());
        let handlers = Handlers::new().react::<Moved, _>(add);
        let consumer =
            Consumer::new("effects", self.effects.clone(), handlers).from("bank", Moved::TOPIC, log as _);
        let parked = consumer.parked();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(consumer.run(async move {
            let _ = stopped.await;
        }));
        (parked, stop, running)
    }

    /// Holds the row of "a" until the answer is told to go, or dropped.
    async fn hold(&self) -> (oneshot::Sender<()>, JoinHandle<Result<(), CallError>>) {
        let (holds, held) = oneshot::channel();
        let (go, may_go) = oneshot::channel::<()>();
        let effects = self.effects.clone();
        let holding = tokio::spawn(async move {
            effects
                .transact(&cx(), async move |tx: &mut Tx| {
                    tx.execute("UPDATE effect SET n = n WHERE id = 'a'", params![]).await?;
                    let _ = holds.send(());
                    let _ = may_go.await;
                    Ok(())
                })
                .await
        });
        held.await.expect("the row is held");
        (go, holding)
    }

    /// What an operator does in the service's database.
    async fn sql(&self, sql: &str) {
        let database = self.databases.database("effects");
        self.databases.server.sql_in(&database, sql).await.expect("it is done");
    }

    async fn n(&self, id: &str) -> i64 {
        let found: Result<(i64,), StoreError> = self
            .effects
            .read(async |read: &mut Read| {
                read.query_one("SELECT n FROM effect WHERE id = $1", params![id]).await
            })
            .await;
        found.expect("the database answers").0
    }
}

/// A key of the lane of "a".
fn neighbour() -> String {
    let lane = lane_of("a", LANES);
    (0..).map(|n| format!("b{n}")).find(|key| lane_of(key, LANES) == lane).expect("some key")
}

/// A row that somebody holds longer than the limit of locks stops the events that want it, and no others of their lane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_held_stops_the_event_that_wants_it_and_none_before() {
    let counting = Counting::open().await;
    // Another key three times, then "a".
    let before = neighbour();
    for _ in 0..3 {
        deposit(&counting.bank, &before, 1).await.expect("it commits");
    }
    deposit(&counting.bank, "a", 1).await.expect("it commits");
    counting.sql(&format!("INSERT INTO effect VALUES ('{before}', 0)")).await;
    let (go, holding) = counting.hold().await;
    let (parked, stop, running) = counting.consume(Add::default());
    eventually("those before it take effect", async || counting.n(&before).await, |n| *n == 3).await;
    assert_eq!(counting.n("a").await, 0);
    drop(go);
    holding.await.expect("no panic").expect("it commits");
    eventually("it goes on when the row is free", async || counting.n("a").await, |n| *n == 1).await;
    assert!(parked.list(1).await.expect("a list").is_empty(), "nothing is parked for trouble that passes");
    drop(stop);
    running.await.expect("no panic");
}

/// A parked key whose row is held when it is tried again keeps its event, and its place: it has not failed for good by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_key_whose_row_is_held_is_tried_again_until_it_is_free() {
    let counting = Counting::open().await;
    let add = Add::default();
    add.refuses.store(true, Ordering::SeqCst);
    deposit(&counting.bank, "a", 1).await.expect("it commits");
    let (parked, stop, running) = counting.consume(add.clone());
    let list = async || parked.list(2).await.expect("a list");
    eventually("the key is parked", list, |keys| keys.len() == 1).await;
    add.refuses.store(false, Ordering::SeqCst);
    let (go, holding) = counting.hold().await;
    parked.redrive("bank", Moved::TOPIC, "a").await.expect("it is parked");
    let held_up = eventually("it waits for the row", list, |keys| {
        keys.iter().any(|key| key.why.reason.contains("lock") && key.why.next_at.is_some())
    })
    .await;
    assert_eq!(held_up[0].why.state, State::Retrying, "{held_up:?}");
    assert_eq!(held_up[0].why.attempts, 0, "it says nothing about the event: {held_up:?}");
    assert_eq!(counting.n("a").await, 0);
    let neighbour = neighbour();
    counting.sql(&format!("INSERT INTO effect VALUES ('{neighbour}', 0)")).await;
    deposit(&counting.bank, &neighbour, 1).await.expect("it commits");
    eventually("others of its lane go on", async || counting.n(&neighbour).await, |n| *n == 1).await;
    drop(go);
    holding.await.expect("no panic").expect("it commits");
    eventually("it takes effect when the row is free", async || counting.n("a").await, |n| *n == 1).await;
    eventually("it is parked no more", list, Vec::is_empty).await;
    assert_eq!(counting.n("a").await, 1, "once");
    drop(stop);
    running.await.expect("no panic");
}

/// Whatever keeps a watermark from being moved, which goes with COMMIT: no effect is there without it, and none twice when it moves again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_takes_effect_while_a_watermark_cannot_be_moved() {
    let counting = Counting::open().await;
    let add = Add::default();
    let (_parked, stop, running) = counting.consume(add.clone());
    deposit(&counting.bank, "a", 1).await.expect("it commits");
    eventually("the first takes effect", async || counting.n("a").await, |n| *n == 1).await;
    counting
        .sql(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
             CREATE TRIGGER keep BEFORE UPDATE ON divisi_watermark FOR EACH ROW EXECUTE FUNCTION keep()",
        )
        .await;
    let before = add.n_calls.load(Ordering::SeqCst);
    deposit(&counting.bank, "a", 1).await.expect("it commits");
    let calls = async || add.n_calls.load(Ordering::SeqCst);
    eventually("it is tried, and again", calls, |calls| *calls >= before + 3).await;
    assert_eq!(counting.n("a").await, 1, "and is undone each time");
    counting.sql("DROP TRIGGER keep ON divisi_watermark").await;
    eventually("it takes effect", async || counting.n("a").await, |n| *n == 2).await;
    drop(stop);
    running.await.expect("no panic");
    assert_eq!(counting.n("a").await, 2, "once");
}
