//! Services whose transactions are stricter than READ COMMITTED: their events get their numbers behind COMMIT.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::{CallError, CauseKind};
use divisi_postgres::PostgresStore;
use divisi_store::conformance::account::{Moved, cx, deposit, is_consistent, schema, whole_log};
use divisi_store::{Isolation, OpenError, Schema, Store, StoreName, Tx, params};
use fastrand::Rng;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::fixture::{Databases, databases, eventually};

async fn open(databases: &Databases, isolation: Isolation) -> Result<(Store, Arc<PostgresStore>), OpenError> {
    let schema = Schema { isolation, ..schema() };
    databases.stores().open_store(&StoreName::of("bank"), &schema).await
}

async fn bank(databases: &Databases, isolation: Isolation) -> Store {
    open(databases, isolation).await.expect("a store opens").0
}

/// Two instances, accounts that many want, and sessions that are ended in the middle: what was committed is in the log once, and the
/// events of each account in the order of its changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_transactions_lose_no_event_and_keep_each_key_in_order() {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
        let databases = databases().await;
        let stores = [bank(&databases, isolation).await, bank(&databases, isolation).await];
        let mut writing = JoinSet::new();
        for n in 0..WRITERS {
            let store = stores[n % 2].clone();
            writing.spawn(async move {
                let (mut rng, mut done, mut unknown) = (Rng::with_seed(n as u64), 0, 0);
                while done + unknown < EACH {
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
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}' AND random() < 0.3",
            databases.database("bank")
        );
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            databases.server.sql(end.clone()).await.expect("sessions end");
        }
        let (done, unknown) = writing
            .join_all()
            .await
            .into_iter()
            .fold((0, 0), |(d, u), (done, unknown)| (d + done, u + unknown));
        let staged = "SELECT count(*) FROM divisi_outbox_staged";
        let database = databases.database("bank");
        let left = async || databases.server.sql_in(&database, staged).await.expect("a look");
        eventually("all have their numbers", left, |n| n.trim() == "0").await;
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
    let refused = open(&databases, Isolation::ReadCommitted).await.map(drop).expect_err("both at once");
    assert!(refused.to_string().contains("isolation"), "{refused}");
    eventually("it has its number", async || whole_log(&store).await.len(), |n| *n == 1).await;
    let lane = whole_log(&store).await[0].lane;
    store.close().await;
    // As one leaves it who dies right behind COMMIT.
    let dies = async |balance: i64| {
        let left = format!(
            "UPDATE account SET balance = {balance} WHERE id = 'a'; \
             INSERT INTO divisi_outbox_staged (topic, lane, type, schema_v, key, headers, payload) \
             VALUES ('accounts', {lane}, 'Moved', 1, 'a', '{{}}', convert_to('{{\"account\":\"a\",\"balance\":{balance}}}', 'UTF8'))"
        );
        databases.server.sql_in(&databases.database("bank"), left).await.expect("it is left");
    };
    let alone = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'divisi watch %'",
        databases.database("bank")
    );
    let watching = async || databases.server.sql(alone.clone()).await.expect("a look").trim().to_owned();
    eventually("nobody watches", &watching, |n| n == "0").await;
    dies(2).await;
    let store = bank(&databases, Isolation::Serializable).await;
    eventually("the next one numbers it", async || whole_log(&store).await.len(), |n| *n == 2).await;
    is_consistent(&store).await;
    store.close().await;
    eventually("nobody watches", &watching, |n| n == "0").await;
    dies(3).await;
    let store = bank(&databases, Isolation::ReadCommitted).await;
    let (balance, positions) = deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!((balance, positions[0].pos.0), (4, 4), "behind what was left");
    is_consistent(&store).await;
    store.close().await;
    eventually("nobody watches", &watching, |n| n == "0").await;
    let store = bank(&databases, Isolation::RepeatableRead).await;
    deposit(&store, "a", 1).await.expect("it commits");
    eventually("and strict again", async || whole_log(&store).await.len(), |n| *n == 5).await;
    is_consistent(&store).await;
}
