//! Services whose transactions are stricter than READ COMMITTED: their events get their numbers behind COMMIT.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use divisi_contract::{CallError, CauseKind, Event};
use divisi_postgres::{Postgres, PostgresStore};
use divisi_store::conformance::account::{Moved, add, cx, deposit, is_consistent, schema, whole_log};
use divisi_store::outbox::PageWanted;
use divisi_store::{
    BoxFuture, Epoch, Isolation, Lane, OpenError, Pos, Schema, Store, StoreName, Stores, Tx, params,
};
use fastrand::Rng;
use tokio::sync::Barrier;
use tokio::task::{JoinHandle, JoinSet};

use crate::fixture::{Databases, databases, eventually};

/// All of its services are so strict.
#[derive(Debug)]
pub(crate) struct Strict(pub(crate) Postgres, pub(crate) Isolation);

impl Stores for Strict {
    fn open<'a>(
        &'a self,
        name: &'a StoreName,
        schema: &'a Schema,
    ) -> BoxFuture<'a, Result<Store, OpenError>> {
        Box::pin(async move { self.0.open(name, &Schema { isolation: self.1, ..schema.clone() }).await })
    }

    fn exists<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<bool, OpenError>> {
        self.0.exists(name)
    }

    fn remove<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<(), OpenError>> {
        self.0.remove(name)
    }
}

#[divisi_macros::event(topic = "notes", key = "text", crate = divisi_call)]
struct Noted {
    text: String,
}

async fn open(databases: &Databases, isolation: Isolation) -> Result<(Store, Arc<PostgresStore>), OpenError> {
    let schema = Schema { isolation, ..schema() };
    databases.stores().open_store(&StoreName::of("bank"), &schema).await
}

async fn bank(databases: &Databases, isolation: Isolation) -> Store {
    open(databases, isolation).await.expect("a store opens").0
}

async fn sql(databases: &Databases, statement: impl Into<String>) -> String {
    let done = databases.server.sql_in(&databases.database("bank"), statement).await;
    done.expect("the server answers").trim().to_owned()
}

/// How many sessions sleep.
const SLEEPING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";

async fn n_staged(databases: &Databases) -> String {
    sql(databases, "SELECT count(*) FROM divisi_outbox_staged").await
}

async fn all_numbered(databases: &Databases) {
    eventually("all have their numbers", async || n_staged(databases).await, |n| n == "0").await;
}

async fn nobody_watches(databases: &Databases) {
    let watching = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'divisi watch %'";
    eventually("nobody watches", async || sql(databases, watching).await, |n| n == "0").await;
}

/// Two instances, accounts that many want, sessions that are ended in the middle and epochs that begin: what was committed is in the log
/// once, and the events of each account in the order of its changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_transactions_lose_no_event_and_keep_each_key_in_order() {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
        let databases = databases().await;
        let stores = [bank(&databases, isolation).await, bank(&databases, isolation).await];
        let mut writing = JoinSet::new();
        let over = Arc::new(AtomicBool::new(false));
        for n in 0..WRITERS {
            let (store, over) = (stores[n % 2].clone(), Arc::clone(&over));
            writing.spawn(async move {
                let (mut rng, mut done, mut unknown) = (Rng::with_seed(n as u64), 0, 0);
                while done + unknown < EACH || !over.load(Ordering::Acquire) {
                    let account = ["a", "b", "c", "d"][rng.usize(..4)];
                    match deposit(&store, account, 1).await {
                        Ok((_, positions)) => {
                            assert!(positions.is_empty(), "they are not known yet");
                            done += 1;
                        }
                        Err(CallError::MayHaveRun(_)) => unknown += 1,
                        // Somebody else was first: nothing happened.
                        Err(_) => tokio::time::sleep(Duration::from_millis(rng.u64(0..5))).await,
                    }
                }
                (done, unknown)
            });
        }
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.3";
        let (mut n_ended, mut n_epochs) = (0, 0);
        while n_ended < 20 || n_epochs == 0 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            n_ended += sql(&databases, end).await.parse::<u32>().expect("a count");
            n_epochs += u32::from(stores[0].backend().begin_epoch(Epoch(0)).await.is_ok());
        }
        over.store(true, Ordering::Release);
        let (done, unknown) = writing
            .join_all()
            .await
            .into_iter()
            .fold((0, 0), |(d, u), (done, unknown)| (d + done, u + unknown));
        assert!(done > 0, "something is known to have happened");
        all_numbered(&databases).await;
        let log = whole_log(&stores[0]).await;
        assert!((done..=done + unknown).contains(&log.len()), "{} of {done} and {unknown}", log.len());
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for record in &log {
            let moved: Moved = record.decode().expect("an event");
            let before = last.insert(moved.account.clone(), moved.balance).unwrap_or_default();
            assert_eq!(moved.balance, before + 1, "{} in order", moved.account);
        }
        is_consistent(&stores[1]).await;
    }
}

/// What strictness is for: of two who each take what both together may not, one is undone. The same without it goes wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_together_break_a_rule_one_is_undone() {
    for (isolation, left) in [(Isolation::ReadCommitted, 0), (Isolation::Serializable, 1)] {
        let databases = databases().await;
        let store = bank(&databases, isolation).await;
        for account in ["a", "b"] {
            deposit(&store, account, 1).await.expect("it commits");
        }
        // The rule: the two have one together at the least.
        let both = Arc::new(Barrier::new(2));
        let take = |account: &'static str| {
            let (store, both) = (store.clone(), Arc::clone(&both));
            async move {
                store
                    .transact(&cx(), async |tx: &mut Tx| {
                        let sql = "SELECT CAST(sum(balance) AS BIGINT) FROM account";
                        let (sum,): (i64,) = tx.query_one(sql, params![]).await?;
                        both.wait().await;
                        if sum < 2 {
                            return Err(CallError::not_run(CauseKind::NotAllowed, "too little"));
                        }
                        let sql = "UPDATE account SET balance = balance - 1 WHERE id = $1 RETURNING balance";
                        let (balance,): (i64,) = tx.query_one(sql, params![account]).await?;
                        tx.emit(Moved { account: account.to_owned(), balance });
                        Ok(balance)
                    })
                    .await
            }
        };
        let (a, b) = tokio::join!(tokio::spawn(take("a")), tokio::spawn(take("b")));
        let taken: [Result<i64, CallError>; 2] = [a.expect("no panic"), b.expect("no panic")];
        for undone in taken.iter().filter_map(|taken| taken.as_ref().err()) {
            assert!(!undone.may_have_run(), "{undone:?}");
        }
        let log = async || whole_log(&store).await.len();
        eventually("the log has what happened", log, |n| *n == 4 - left).await;
        let balances = is_consistent(&store).await;
        assert_eq!(balances.values().sum::<i64>(), left as i64, "{isolation:?}: {taken:?}");
    }
}

/// Who dies between COMMIT and numbering leaves events that the next one numbers; also one that is not strict any more, before its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_without_a_number_comes_first() {
    let databases = databases().await;
    let store = bank(&databases, Isolation::Serializable).await;
    deposit(&store, "a", 1).await.expect("it commits");
    eventually("it has its number", async || whole_log(&store).await.len(), |n| *n == 1).await;
    let lane = whole_log(&store).await[0].lane;
    store.close().await;
    nobody_watches(&databases).await;
    // As one leaves it who dies right behind COMMIT.
    let dies = async |balance: i64| {
        let left = format!(
            "UPDATE account SET balance = {balance} WHERE id = 'a'; \
             INSERT INTO divisi_outbox_staged (topic, lane, type, schema_v, key, headers, payload) \
             VALUES ('accounts', {lane}, 'Moved', 1, 'a', '{{}}', convert_to('{{\"account\":\"a\",\"balance\":{balance}}}', 'UTF8'))"
        );
        sql(&databases, left).await;
    };
    dies(2).await;
    let store = bank(&databases, Isolation::Serializable).await;
    eventually("the next one numbers it", async || whole_log(&store).await.len(), |n| *n == 2).await;
    is_consistent(&store).await;
    store.close().await;
    nobody_watches(&databases).await;
    dies(3).await;
    let store = bank(&databases, Isolation::ReadCommitted).await;
    let (balance, positions) = deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!((balance, positions[0].pos.0), (4, 4), "behind what was left");
    is_consistent(&store).await;
    store.close().await;
    nobody_watches(&databases).await;
    let store = bank(&databases, Isolation::RepeatableRead).await;
    deposit(&store, "a", 1).await.expect("it commits");
    eventually("and strict again", async || whole_log(&store).await.len(), |n| *n == 5).await;
    is_consistent(&store).await;
}

/// A start with another isolation is refused while the other is open; and should it not see the other one, the database lets only one of
/// them announce.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_direct_or_staged_and_never_both() {
    let databases = databases().await;
    let direct = bank(&databases, Isolation::ReadCommitted).await;
    let watching = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'divisi watch %'";
    eventually("it watches", async || sql(&databases, watching).await, |n| n == "1").await;
    let refused = open(&databases, Isolation::Serializable).await.map(drop).expect_err("both at once");
    assert!(refused.to_string().contains("isolation"), "{refused}");
    deposit(&direct, "a", 1).await.expect("the one that is there goes on");
    sql(&databases, "UPDATE divisi_meta SET staged = true; UPDATE divisi_gate SET staged = true").await;
    for n_events in [1, 2] {
        let announced: Result<(), CallError> = direct
            .transact(&cx(), async |tx: &mut Tx| {
                for _ in 0..n_events {
                    add(tx, "a", 1).await?;
                }
                Ok(())
            })
            .await;
        let error = announced.expect_err("it may not number");
        assert!(!error.may_have_run() && error.to_string().contains("isolation"), "{error}");
    }
    let strict = bank(&databases, Isolation::Serializable).await;
    deposit(&strict, "a", 1).await.expect("it commits");
    all_numbered(&databases).await;
    // One that has begun before the service goes over, and ends after.
    let (begun, gone) = (Barrier::new(2), Barrier::new(2));
    let context = cx();
    let late = strict.transact(&context, async |tx: &mut Tx| {
        add(tx, "a", 1).await?;
        begun.wait().await;
        gone.wait().await;
        Ok::<_, CallError>(())
    });
    let goes_over = async {
        begun.wait().await;
        sql(&databases, "UPDATE divisi_gate SET staged = false; UPDATE divisi_meta SET staged = false").await;
        gone.wait().await;
    };
    let (late, ()) = tokio::join!(late, goes_over);
    assert!(matches!(&late, Err(error) if !error.may_have_run()), "{late:?}");
    let error = deposit(&strict, "a", 1).await.expect_err("it may not put down");
    assert!(!error.may_have_run() && error.to_string().contains("isolation"), "{error}");
    assert_eq!(n_staged(&databases).await, "0");
    deposit(&direct, "a", 1).await.expect("it commits");
    is_consistent(&direct).await;
}

/// A transaction of an account that announces and commits when it is let go.
async fn under_way(
    databases: &Databases,
    level: &str,
    balance: i64,
    announce: String,
) -> JoinHandle<Result<String, divisi_servers::Error>> {
    // A sequence shows its value of now in every transaction, whatever it has seen when it began.
    sql(databases, "DROP SEQUENCE IF EXISTS go; CREATE SEQUENCE go").await;
    let work = format!(
        "BEGIN ISOLATION LEVEL {level}; UPDATE account SET balance = {balance} WHERE id = 'a'; SELECT {announce}; \
         DO $$ BEGIN WHILE NOT (SELECT is_called FROM go) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$; COMMIT"
    );
    let (server, database) = (databases.server.clone(), databases.database("bank"));
    let work = tokio::spawn(async move { server.sql_in(&database, work).await });
    eventually("it is under way", async || sql(databases, SLEEPING).await, |n| n == "1").await;
    work
}

/// Opens the bank beside a transaction that is under way, which is let go when the bank waits for it.
async fn goes_over(
    databases: &Databases,
    isolation: Isolation,
    under_way: JoinHandle<Result<String, divisi_servers::Error>>,
) -> Store {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let let_go = async {
        eventually("it waits for what is under way", async || sql(databases, waits).await, |n| n != "0")
            .await;
        sql(databases, "SELECT nextval('go')").await;
    };
    let (store, ()) = tokio::join!(bank(databases, isolation), let_go);
    under_way.await.expect("no panic").expect("it commits");
    store
}

/// Who goes over waits for what is under way the other way, and what that leaves comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_over_waits_for_what_is_under_way() {
    let databases = databases().await;
    let store = bank(&databases, Isolation::ReadCommitted).await;
    deposit(&store, "a", 1).await.expect("it commits");
    let lane = whole_log(&store).await[0].lane;
    store.close().await;
    nobody_watches(&databases).await;
    let event = |balance: i64| format!("{{\"account\":\"a\",\"balance\":{balance}}}");
    let (two, three) = (event(2), event(3));
    let append = format!(
        "divisi_append_one('accounts', {lane}, 0, 'Moved', 1, 'a', '{{}}', convert_to('{two}', 'UTF8'))"
    );
    let direct = under_way(&databases, "READ COMMITTED", 2, append).await;
    let store = goes_over(&databases, Isolation::RepeatableRead, direct).await;
    assert_eq!(whole_log(&store).await.len(), 2);
    store.close().await;
    nobody_watches(&databases).await;
    let stage = format!(
        "divisi_stage('{{accounts}}', '{{{lane}}}', '{{1}}', '{{Moved}}', '{{1}}', '{{a}}', '{{\"{{}}\"}}', ARRAY[convert_to('{three}', 'UTF8')])"
    );
    let staged = under_way(&databases, "SERIALIZABLE", 3, stage).await;
    let store = goes_over(&databases, Isolation::ReadCommitted, staged).await;
    assert_eq!((whole_log(&store).await.len(), &*n_staged(&databases).await), (3, "0"));
    deposit(&store, "a", 1).await.expect("it commits");
    is_consistent(&store).await;
}

/// Starts come and go beside writers that never pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_does_not_wait_for_those_who_announce() {
    let databases = databases().await;
    let store = bank(&databases, Isolation::RepeatableRead).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut writing = JoinSet::new();
    for n in 0..12 {
        let (store, over) = (store.clone(), Arc::clone(&over));
        writing.spawn(async move {
            let mut done = 0;
            while !over.load(Ordering::Acquire) {
                done += u32::from(deposit(&store, &format!("account-{n}"), 1).await.is_ok());
            }
            done
        });
    }
    for _ in 0..5 {
        let another = bank(&databases, Isolation::RepeatableRead).await;
        another.close().await;
    }
    over.store(true, Ordering::Release);
    assert!(writing.join_all().await.iter().all(|done| *done > 0), "all of them announce meanwhile");
    all_numbered(&databases).await;
    is_consistent(&store).await;
}

/// A stop leaves nothing without a number, though whoever numbers was held up, and two ask for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_numbers_what_is_left() {
    let databases = databases().await;
    let store = bank(&databases, Isolation::RepeatableRead).await;
    deposit(&store, "a", 1).await.expect("it commits");
    all_numbered(&databases).await;
    let held_up = tokio::spawn({
        let (server, database) = (databases.server.clone(), databases.database("bank"));
        async move {
            server.sql_in(&database, "BEGIN; SELECT divisi_numbers_alone(); SELECT pg_sleep(3600)").await
        }
    });
    let holds =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    eventually("it is held up", async || sql(&databases, holds).await, |n| n == "1").await;
    let many: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            for _ in 0..1_200 {
                add(tx, "a", 1).await?;
            }
            Ok(())
        })
        .await;
    many.expect("it commits");
    assert_eq!(n_staged(&databases).await, "1200");
    let twice = async { tokio::join!(store.close(), store.close()) };
    let goes_on = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        eventually("somebody waits", async || sql(&databases, waits).await, |n| n != "0").await;
        sql(&databases, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'").await;
    };
    tokio::join!(twice, goes_on);
    assert!(held_up.await.expect("no panic").is_err(), "it was ended");
    assert_eq!(n_staged(&databases).await, "0");
    assert_eq!(sql(&databases, "SELECT count(*) FROM divisi_outbox").await, "1201");
}

/// More than one transaction numbers, in bytes: all of it comes, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_events_of_one_transaction_are_numbered_in_their_order() {
    const EVENTS: usize = 60;
    let databases = databases().await;
    let schema =
        Schema { isolation: Isolation::Serializable, topics: vec![Moved::TOPIC, Noted::TOPIC], ..schema() };
    let text = |n: usize| format!("{n:04}{}", "x".repeat(200_000));
    let store = databases.stores().open(&StoreName::of("bank"), &schema).await.expect("a store opens");
    let noted: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            for n in 0..EVENTS {
                // One lane: the key decides it, and the text tells them apart.
                tx.emit(Moved { account: "a".to_owned(), balance: n as i64 });
                tx.emit(Noted { text: text(n) });
            }
            Ok(())
        })
        .await;
    noted.expect("it commits");
    all_numbered(&databases).await;
    let log = whole_log(&store).await;
    let balances: Vec<i64> =
        log.iter().map(|record| record.decode::<Moved>().expect("an event").balance).collect();
    assert_eq!(balances, (0..EVENTS as i64).collect::<Vec<_>>());
    let notes = PageWanted {
        topic: Noted::TOPIC.into(),
        lanes: (0..64).map(|lane| (Lane(lane), Pos(0))).collect(),
        max_records: usize::MAX,
        max_bytes: usize::MAX,
    };
    let page = store.backend().page(notes).await.expect("a page");
    assert_eq!(page.records.len(), EVENTS);
}

/// A topic is added while another instance runs, and both announce.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_topic_comes_while_the_version_before_runs() {
    let databases = databases().await;
    let before = bank(&databases, Isolation::Serializable).await;
    let schema =
        Schema { isolation: Isolation::Serializable, topics: vec![Moved::TOPIC, Noted::TOPIC], ..schema() };
    let after = databases.stores().open(&StoreName::of("bank"), &schema).await.expect("a store opens");
    let noted: Result<(), CallError> = after
        .transact(&cx(), async |tx: &mut Tx| {
            tx.emit(Noted { text: "note".to_owned() });
            add(tx, "a", 1).await.map(drop)
        })
        .await;
    noted.expect("it commits");
    deposit(&before, "a", 1).await.expect("it commits");
    all_numbered(&databases).await;
    assert_eq!(sql(&databases, "SELECT count(*) FROM divisi_outbox").await, "3");
    is_consistent(&before).await;
    is_consistent(&after).await;
}
