//! A consumer in several instances: each applies its share of the lanes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::Event;
use divisi_events::consumer::{Consumer, LeasedLanes, Stopped};
use divisi_events::{Failure, Handlers, Listeners, Log, LogOptions};
use divisi_store::conformance::account::{Moved, deposit, schema, whole_log};
use divisi_store::{Migration, Read, Schema, Store, StoreError, StoreName, Stores, Tx, lease, params};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fixture::{databases, eventually};

const TTL: Duration = Duration::from_millis(900);

/// Without any constraint that could hide a second time.
const EFFECTS: Migration =
    Migration::new(1, "effects", "CREATE TABLE effect (account TEXT NOT NULL, balance BIGINT NOT NULL)");

async fn effect(tx: &mut Tx, moved: &Moved) -> Result<(), Failure> {
    let sql = "INSERT INTO effect (account, balance) VALUES ($1, $2)";
    tx.execute(sql, params![moved.account, moved.balance]).await?;
    Ok(())
}

struct Instance {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Stopped>,
}

impl Instance {
    fn start(store: &Store, log: &Arc<Log>, owner: &str) -> Instance {
        let consumer = Consumer::new("ledger", store.clone(), Handlers::new().react::<Moved, _>(effect))
            .from("bank", Moved::TOPIC, Arc::clone(log) as _)
            .share(Arc::new(LeasedLanes::new(store.clone(), owner).ttl(TTL)));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(consumer.run(async move {
            let _ = stopped.await;
        }));
        Instance { stop, task }
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("no panic");
    }
}

/// How many groups of lanes each owner holds.
async fn shares(store: &Store) -> BTreeMap<String, usize> {
    let held: Result<Vec<(String, String)>, StoreError> =
        store.read(async |read: &mut Read| lease::held(read, "lanes/ledger/bank/", TTL).await).await;
    let mut shares = BTreeMap::new();
    for (_, owner) in held.expect("the database answers") {
        *shares.entry(owner).or_default() += 1;
    }
    shares
}

async fn effects(store: &Store) -> Vec<(String, i64)> {
    let rows: Result<_, StoreError> = store
        .read(async |read: &mut Read| {
            read.query("SELECT account, balance FROM effect ORDER BY account, balance", &[]).await
        })
        .await;
    rows.expect("the effects")
}

/// Lanes are shared out evenly, go over to whoever is left when one stops or dies, and every event takes effect once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_a_consumer_share_its_lanes_and_apply_each_event_once() {
    let databases = databases().await;
    let bank = databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("the bank opens");
    let log = Log::new(bank.clone(), Listeners::none().allow(Moved::TOPIC, "ledger"), LogOptions::default());
    let mut stores = Vec::new();
    for _ in 0..3 {
        let schema = Schema { migrations: vec![EFFECTS], ..Schema::default() };
        stores.push(databases.stores().open(&StoreName::of("ledger"), &schema).await.expect("it opens"));
    }
    let pay = async |from: usize, n: usize| {
        for n in from..from + n {
            deposit(&bank, &format!("account-{}", n % 40), 1).await.expect("it commits");
        }
    };
    let everything = async || {
        let mut expected: Vec<(String, i64)> = whole_log(&bank)
            .await
            .iter()
            .map(|record| record.decode::<Moved>().expect("an event"))
            .map(|moved| (moved.account, moved.balance))
            .collect();
        expected.sort();
        eventually(
            "each event takes effect once",
            async || effects(&stores[0]).await,
            |found| *found == expected,
        )
        .await;
    };
    let first = Instance::start(&stores[0], &log, "a");
    eventually("one alone has all", async || shares(&stores[0]).await, |all| all.get("a") == Some(&8)).await;
    pay(0, 100).await;
    everything().await;
    let second = Instance::start(&stores[1], &log, "b");
    let even = |all: &BTreeMap<String, usize>| all.get("a") == Some(&4) && all.get("b") == Some(&4);
    eventually("two have half each", async || shares(&stores[0]).await, even).await;
    pay(100, 200).await;
    everything().await;
    // One dies without a word: its leases run out.
    second.task.abort();
    eventually("the other has all again", async || shares(&stores[0]).await, |all| all.get("a") == Some(&8))
        .await;
    pay(300, 100).await;
    everything().await;
    // One stops in order: its lanes are free at once.
    let third = Instance::start(&stores[2], &log, "c");
    eventually("two have half each", async || shares(&stores[0]).await, |all| all.get("c") == Some(&4)).await;
    first.stop().await;
    assert_eq!(shares(&stores[0]).await.get("a"), None, "it gave back what it had");
    pay(400, 100).await;
    everything().await;
    third.stop().await;
}
