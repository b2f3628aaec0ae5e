//! A consumer in several instances: each applies its share of the lanes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::Event;
use divisi_contract::event::LANES;
use divisi_events::consumer::{Consumer, LaneSet, LaneState, LeasedLanes, Observer, Share, Stopped};
use divisi_events::{Failure, Handlers, Listeners, Log, LogOptions};
use divisi_store::conformance::account::{Moved, deposit, schema, whole_log};
use divisi_store::inbox::Inbox;
use divisi_store::{Lane, Migration, Read, Schema, Store, StoreError, StoreName, Stores, Tx, lease, params};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::fixture::{Databases, databases, eventually};

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
    observer: Observer,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Stopped>,
}

impl Instance {
    fn start(store: &Store, log: &Arc<Log>, owner: &str) -> Instance {
        let consumer = Consumer::new("ledger", store.clone(), Handlers::new().react::<Moved, _>(effect))
            .from("bank", Moved::TOPIC, Arc::clone(log) as _)
            .share(Arc::new(LeasedLanes::new(store.clone(), owner).ttl(TTL)));
        let observer = consumer.observe();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(consumer.run(async move {
            let _ = stopped.await;
        }));
        Instance { observer, stop, task }
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("no panic");
    }
}

/// A store of the consumer's service, which has no topics.
async fn ledger(databases: &Databases) -> Store {
    let schema = Schema { migrations: vec![EFFECTS], ..Schema::default() };
    databases.stores().open(&StoreName::of("ledger"), &schema).await.expect("it opens")
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
        stores.push(ledger(&databases).await);
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
    // Each says of the lanes that are not its own that they are elsewhere, and counts nothing of them as unread.
    for instance in [&first, &second] {
        let status = async || instance.observer.status().inputs.remove(0);
        let seen = eventually("it has half", status, |input| {
            input.n_here() == usize::from(LANES) / 2 && input.unread() == 0
        });
        let input = seen.await;
        let elsewhere = input.lanes.iter().filter(|lane| lane.state == LaneState::Elsewhere).count();
        assert_eq!(elsewhere, usize::from(LANES) / 2, "{input:?}");
        assert_eq!(instance.observer.status().ended(), None, "it is well");
    }
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

/// The lanes of a process that has died go to the others when the server has noticed, though the leases would last much longer. The
/// service has no topics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lanes_of_an_instance_that_died_go_to_the_others_before_their_leases_are_over() {
    const LONG: Duration = Duration::from_secs(600);
    let databases = databases().await;
    let (alive, dies) = (ledger(&databases).await, ledger(&databases).await);
    let owner = |store: &Store| store.backend().lease_owner().expect("several may have it open");
    let gone = owner(&dies);
    let lanes_of = |store: &Store| LeasedLanes::new(store.clone(), owner(store)).ttl(LONG);
    let (first, second) = (lanes_of(&dies), lanes_of(&alive));
    let inbox = Inbox { consumer: "ledger".into(), source: "bank".into(), topic: Moved::TOPIC.into() };
    let ask = async |of: &LeasedLanes| of.lanes(&inbox).await.expect("the database answers");
    let take = async |of: &LeasedLanes| ask(of).await.lanes;
    let n_of = |lanes: LaneSet| (0..LANES).filter(|lane| lanes.has(Lane(*lane))).count();
    assert_eq!(take(&first).await, LaneSet::ALL);
    let uneven = ask(&second).await;
    assert_eq!(uneven.lanes, LaneSet::NONE, "the first has not given anything yet");
    assert_eq!(n_of(take(&first).await), 32);
    let even = ask(&second).await;
    assert_eq!(n_of(even.lanes), 32);
    let even = ask(&second).await.again.min(even.again);
    assert!(uneven.again < even, "who waits for its share asks more often: {uneven:?}, {even:?}");
    let renewed_at = Instant::now();
    let watched = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'divisi watch %'",
        databases.database("ledger")
    );
    let look = async || databases.server.sql(watched.clone()).await.expect("a look").trim().to_owned();
    eventually("both have a session", look, |n| n == "2").await;
    // While the first is there its lanes are its own, however long ago it renewed them.
    eventually("long ago", async || renewed_at.elapsed(), |ago| *ago > lease::RENEWED_WITHIN * 5 / 4).await;
    assert_eq!(n_of(take(&second).await), 32);
    dies.close().await;
    eventually("nobody else is there", async || take(&second).await, |lanes| *lanes == LaneSet::ALL).await;
    // A new one gets its share.
    let new = LeasedLanes::new(alive.clone(), "new").ttl(LONG);
    assert_eq!(take(&new).await, LaneSet::NONE);
    assert_eq!(n_of(take(&second).await), 32);
    assert_eq!(n_of(take(&new).await), 32);
    // Who stops leaves nothing behind; of who has died there is a row until its time is over.
    for lanes in [&new, &second] {
        lanes.leave(&inbox).await.expect("the database answers");
    }
    let left: Result<Vec<(String,)>, StoreError> =
        alive.read(async |read: &mut Read| read.query("SELECT name FROM divisi_lease", &[]).await).await;
    let topic = Moved::TOPIC;
    assert_eq!(left.expect("the rows"), [(format!("here/ledger/bank/{topic}/{gone}"),)]);
}
