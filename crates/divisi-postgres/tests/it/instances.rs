//! Several processes of one service on one database.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{Context, Event};
use divisi_events::fetch::{Fetch, LaneWanted};
use divisi_events::{Feed, Listeners, Log, LogOptions};
use divisi_store::conformance::account::{Moved, deposit, everything, is_consistent, schema};
use divisi_store::{Lane, Pos, Store, StoreName, Stores};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::fixture::{databases, eventually};

fn log_of(store: &Store) -> Arc<Log> {
    Log::new(store.clone(), Listeners::none().allow(Moved::TOPIC, "reader"), LogOptions::default())
}

async fn ask(log: &Log, key: &str, after: i64, wait_ms: u32) -> Vec<i64> {
    let epoch = log.store().backend().page(everything()).await.expect("a page").epochs.current();
    let lane = Lane(lane_of(key, LANES));
    let want = Fetch {
        topic: Moved::TOPIC.into(),
        reader: "reader".into(),
        lanes: vec![LaneWanted { lane, epoch, pos: Pos(after), applied: Pos(after) }],
        max_records: 512,
        max_bytes: 256 * 1024,
        wait_ms,
    };
    let fetched = Feed::fetch(log, &Context::root("reader"), want).await.expect("the log answers");
    fetched.records.iter().map(|record| record.pos.0).collect()
}

/// Instances that start at the same moment bring the database to its shape once, and all of them open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_together_migrate_once() {
    let databases = databases().await;
    let mut opening = JoinSet::new();
    for _ in 0..6 {
        let stores = databases.stores();
        opening.spawn(async move { stores.open(&StoreName::of("bank"), &schema()).await });
    }
    let stores: Vec<Store> =
        opening.join_all().await.into_iter().map(|opened| opened.expect("it opens")).collect();
    for store in &stores {
        deposit(store, "a", 1).await.expect("it commits");
    }
    assert_eq!(is_consistent(&stores[0]).await.get("a"), Some(&6));
    let epochs = stores[5].backend().page(everything()).await.expect("a page").epochs;
    assert_eq!(epochs.known.len(), 1, "one life, one epoch, however many instances");
}

/// What one instance writes ends the wait at the other, soon, and in order with its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_at_one_instance_hears_what_the_other_writes() {
    let databases = databases().await;
    let (a, b) = (databases.bank().await.0, databases.bank().await.0);
    let (at_a, _at_b) = (log_of(&a), log_of(&b));
    deposit(&a, "k", 1).await.expect("it commits");
    assert_eq!(ask(&at_a, "k", 0, 0).await, [1]);
    for n in 1..6 {
        let waiting = {
            let log = Arc::clone(&at_a);
            tokio::spawn(async move { ask(&log, "k", n, 5_000).await })
        };
        let topic = Arc::clone(at_a.tail().topic(Moved::TOPIC).expect("a tail"));
        eventually("the question waits", async || topic.n_waiting(), |n| *n == 1).await;
        let began = Instant::now();
        deposit(&b, "k", 1).await.expect("it commits");
        let heard = timeout(Duration::from_secs(10), waiting).await.expect("in time").expect("no panic");
        assert_eq!(heard, [n + 1], "after {:?}", began.elapsed());
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "not at the end of the wait: {:?}",
            began.elapsed()
        );
    }
    // In turns: neither tail ever skips what the other wrote.
    let mut at = 6;
    for n in 0..20 {
        deposit(if n % 2 == 0 { &a } else { &b }, "k", 1).await.expect("it commits");
        let began = Instant::now();
        while at < 7 + n {
            let brought = ask(&at_a, "k", at, 1_000).await;
            assert_eq!(brought, (at + 1..).take(brought.len()).collect::<Vec<i64>>());
            at += brought.len() as i64;
            assert!(began.elapsed() < Duration::from_secs(10), "it comes, soon: {at}");
        }
    }
}

/// Both write as fast as they can, and who reads at either sees every event once in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_either_instance_see_one_log() {
    const EACH: i64 = 150;
    let databases = databases().await;
    let stores = [databases.bank().await.0, databases.bank().await.0];
    let logs = [log_of(&stores[0]), log_of(&stores[1])];
    let mut tasks = JoinSet::new();
    for store in stores.clone() {
        tasks.spawn(async move {
            for _ in 0..EACH {
                deposit(&store, "k", 1).await.expect("it commits");
            }
        });
    }
    for log in logs {
        tasks.spawn(async move {
            let mut at = 0;
            while at < 2 * EACH {
                let brought = ask(&log, "k", at, 2_000).await;
                let expected: Vec<i64> = (at + 1..).take(brought.len()).collect();
                assert_eq!(brought, expected, "contiguous behind {at}");
                at += brought.len() as i64;
            }
        });
    }
    let all = async {
        while let Some(done) = tasks.join_next().await {
            done.expect("no task panics");
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("everything is read");
    assert_eq!(is_consistent(&stores[0]).await.get("k"), Some(&(2 * EACH)));
}

/// An epoch that one instance begins is the other's too, at once where it writes and soon where it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_begun_by_one_instance_is_the_others_too() {
    let databases = databases().await;
    let (a, b) = (databases.bank().await.0, databases.bank().await.0);
    let at_a = log_of(&a);
    deposit(&a, "k", 1).await.expect("it commits");
    assert_eq!(ask(&at_a, "k", 0, 0).await, [1]);
    let begun = b.backend().begin_epoch(divisi_store::Epoch(0)).await.expect("an epoch");
    let (_, positions) = deposit(&a, "k", 1).await.expect("it commits");
    assert_eq!(positions[0].epoch, begun);
    let topic = Arc::clone(at_a.tail().topic(Moved::TOPIC).expect("a tail"));
    ask(&at_a, "k", 0, 0).await;
    assert_eq!(topic.epoch(), Some(begun), "what was in memory is of the life before");
    let again = b.backend().begin_epoch(divisi_store::Epoch(0)).await.expect("an epoch");
    let known = async || {
        ask(&at_a, "k", 0, 0).await;
        topic.epoch()
    };
    eventually("it is heard of without a write", known, |epoch| *epoch == Some(again)).await;
}
