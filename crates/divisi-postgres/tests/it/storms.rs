//! Many writers at once: no deadlock, no hole, each key in order.

use std::collections::BTreeMap;
use std::time::Duration;

use divisi_contract::CallError;
use divisi_contract::event::LANES;
use divisi_postgres::Options;
use divisi_store::conformance::account::{Moved, add, cx, deposit, is_consistent, whole_log};
use divisi_store::{Class, Position, Tx};
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixture::{databases, options};

/// Transactions of F-8; a long run says how many by `DIVISI_TRANSACTIONS`.
fn n_transactions() -> usize {
    std::env::var("DIVISI_TRANSACTIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

/// F-8: events of several lanes in random order, from two processes' worth of stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_over_many_lanes_in_any_order_never_deadlock() {
    const WRITERS: usize = 8;
    let databases = databases().await;
    let stores = [databases.bank().await.0, databases.bank().await.0];
    let each = n_transactions() / WRITERS;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = stores[writer % 2].clone();
        writers.spawn(async move {
            let mut rng = Rng::with_seed(writer as u64);
            let mut told: Vec<Position> = Vec::new();
            for n in 0..each {
                let mut keys: Vec<String> =
                    (0..rng.usize(1..8)).map(|_| format!("key-{}", rng.usize(0..40))).collect();
                rng.shuffle(&mut keys);
                // Rows of its own, events in lanes that all share: what is locked is the lanes alone.
                let own = format!("own-{writer}-{n}");
                let (_, positions) = store
                    .transact_at(&cx(), async |tx: &mut Tx| -> Result<(), CallError> {
                        tx.execute(
                            "INSERT INTO account (id, balance) VALUES ($1, 0)",
                            divisi_store::params![own],
                        )
                        .await?;
                        for account in keys {
                            tx.emit(Moved { account, balance: 0 });
                        }
                        Ok(())
                    })
                    .await
                    .expect("no deadlock, no timeout");
                told.extend(positions);
            }
            told
        });
    }
    let mut told: Vec<Position> = writers.join_all().await.into_iter().flatten().collect();
    let mut log: Vec<Position> = whole_log(&stores[0]).await.iter().map(|record| record.position()).collect();
    told.sort();
    log.sort();
    assert_eq!(told, log, "each position was given once, and is there");
    let sql =
        format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{}'", databases.database("bank"));
    assert_eq!(databases.server.sql(sql).await.expect("a look").trim(), "0");
}

/// F-6: one transaction stands still after it has drawn its positions: its lane waits, others flow, nothing is skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_waits_for_who_has_drawn_positions_and_others_flow() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    deposit(&store, "a", 1).await.expect("it commits");
    deposit(&store, "b", 1).await.expect("it commits");
    // By hand, in a session of its own: numbered, not committed, two seconds long.
    let database = databases.database("bank");
    let server = databases.server.clone();
    let holder = tokio::spawn(async move {
        let append = "BEGIN; SELECT divisi_append_one('accounts', (SELECT lane FROM divisi_outbox WHERE key = 'a'), 0, 'Moved', 1, 'a', '{}', \
                      convert_to('{\"account\":\"a\",\"balance\":2}', 'UTF8')); \
                      UPDATE account SET balance = 2 WHERE id = 'a'; SELECT pg_sleep(2); COMMIT";
        server.sql_in(&database, append).await.expect("it commits")
    });
    let sleeping = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '%pg_sleep(2)%' AND state = 'active' AND wait_event = 'PgSleep'",
        databases.database("bank")
    );
    let look = async || databases.server.sql(sleeping.clone()).await.expect("a look").trim().to_owned();
    crate::fixture::eventually("it has drawn its position", look, |n| n == "1").await;
    let began = Instant::now();
    for _ in 0..20 {
        deposit(&store, "b", 1).await.expect("another lane flows");
    }
    assert!(!holder.is_finished(), "all while the lane is held: {:?}", began.elapsed());
    assert_eq!(
        whole_log(&store).await.iter().filter(|record| &*record.key == "a").count(),
        1,
        "not seen yet"
    );
    let (balance, positions) = deposit(&store, "a", 1).await.expect("its own lane waits, and then goes on");
    assert!(holder.is_finished() || began.elapsed() > Duration::from_millis(500));
    assert_eq!((balance, positions[0].pos.0), (3, 3), "behind what was drawn before");
    holder.await.expect("it does not panic");
    is_consistent(&store).await;
}

/// F-7, F-5: whoever commits first stands first, whatever order transactions began in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keys_events_stand_in_the_order_in_which_its_row_was_changed() {
    let databases = databases().await;
    let stores = [databases.bank().await.0, databases.bank().await.0];
    let mut writers = JoinSet::new();
    for writer in 0..12_usize {
        let store = stores[writer % 2].clone();
        writers.spawn(async move {
            let mut rng = Rng::with_seed(writer as u64);
            for _ in 0..25 {
                // An early write elsewhere, a wait, and the shared rows late.
                let order = if rng.bool() { ["x", "y"] } else { ["y", "x"] };
                let own = format!("own-{writer}");
                let done: Result<(), CallError> = store
                    .transact(&cx(), async |tx: &mut Tx| {
                        add(tx, &own, 1).await?;
                        tokio::task::yield_now().await;
                        add(tx, order[0], 1).await?;
                        if order[0] == "x" { add(tx, "y", 1).await.map(drop) } else { Ok(()) }
                    })
                    .await;
                done.expect("rows are locked in one order, so nobody waits in a ring");
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("no writer panics");
    }
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut log = whole_log(&stores[1]).await;
    log.sort_by_key(|record| (record.lane, record.pos));
    for record in log {
        let moved: Moved = record.decode().expect("an event");
        let before = last.insert(moved.account.clone(), moved.balance).unwrap_or_default();
        assert_eq!(moved.balance, before + 1, "{}", moved.account);
    }
    is_consistent(&stores[0]).await;
}

/// Where a lane is believed to end is only where the database looks first.
#[tokio::test]
async fn a_wrong_belief_about_the_end_of_a_lane_changes_no_position() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let lane = deposit(&store, "a", 1).await.expect("it commits").1[0].lane.0;
    let other = (lane + 1) % LANES;
    let (mut ended, mut of_other) = (1, 0);
    for believed in [0, 1, -5, 1_000_000, ended] {
        let one = format!(
            "SELECT (divisi_append_one('accounts', {lane}, {believed}, 'Moved', 1, 'a', '{{}}', '{{}}'))[1]"
        );
        let found = databases.server.sql_in(&databases.database("bank"), one).await.expect("it appends");
        ended += 1;
        assert_eq!(found.trim(), ended.to_string(), "believed {believed}");
        // The lanes in whatever order, and one that has nothing yet.
        let several = format!(
            "SELECT array_to_string(pos, ' ') FROM divisi_append('{{accounts,accounts}}', '{{{other},{lane}}}', '{{{believed},{believed}}}', \
             '{{2,1,2}}', '{{Moved,Moved,Moved}}', '{{1,1,1}}', '{{a,b,a}}', '{{x,x,x}}', '{{x,x,x}}')"
        );
        let found = databases.server.sql_in(&databases.database("bank"), several).await.expect("it appends");
        (ended, of_other) = (ended + 2, of_other + 1);
        assert_eq!(found.trim(), format!("{} {of_other} {ended}", ended - 1), "believed {believed}");
    }
    let unknown = "SELECT divisi_append('{accounts,no}', '{1,1}', '{0,0}', '{1,2}', '{M,M}', '{1,1}', '{a,a}', '{x,x}', '{x,x}')";
    let refused =
        databases.server.sql_in(&databases.database("bank"), unknown).await.expect_err("no such topic");
    assert!(format!("{refused:?}").contains("was not declared"), "{refused:?}");
}

/// F-9: events are numbered in READ COMMITTED alone.
#[tokio::test]
async fn a_stricter_transaction_cannot_number_events() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let one = "divisi_append_one('accounts', 1, 0, 'Moved', 1, 'a', 'x', 'x')";
    let several = "divisi_append('{accounts}', '{1}', '{0}', '{1,1}', '{Moved,Moved}', '{1,1}', '{a,a}', '{x,x}', '{x,x}')";
    for (level, append) in [("SERIALIZABLE", one), ("REPEATABLE READ", one), ("SERIALIZABLE", several)] {
        let sql = format!("BEGIN ISOLATION LEVEL {level}; SELECT {append}; COMMIT");
        let refused = databases.server.sql_in(&databases.database("bank"), sql).await.expect_err(level);
        let mut said = refused.to_string();
        let mut source = std::error::Error::source(&refused);
        while let Some(cause) = source {
            said += &cause.to_string();
            source = cause.source();
        }
        assert!(said.contains("READ COMMITTED"), "{said}");
    }
    let refused: Result<u64, CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            Ok(tx.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", &[]).await?)
        })
        .await;
    assert!(refused.is_err(), "a closure does not change it either");
    assert!(whole_log(&store).await.is_empty());
}

/// Calls find connections though consumers want all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_leave_connections_to_calls() {
    let options = Options {
        connections_max: 3,
        connections_of_consumers: 2,
        connection_wait: Duration::from_millis(300),
        ..options()
    };
    let (store, _) = databases().await.bank_with(options).await;
    let backend = store.backend();
    let first = backend.begin(Class::Consumer).await.expect("a connection");
    let second = backend.begin(Class::Consumer).await.expect("a connection");
    let mut third = backend.begin(Class::Consumer);
    let waits = tokio::time::timeout(Duration::from_millis(500), &mut third).await;
    assert!(waits.is_err(), "their share is used up: it waits");
    deposit(&store, "a", 1).await.expect("a call has one");
    let call = backend.begin(Class::Call).await.expect("a connection");
    let refused = backend.begin(Class::Call).await.map(drop).expect_err("none is left");
    assert!(refused.is_transient(), "{refused:?}");
    drop((call, first, second));
    third.await.map(drop).expect("they came back");
}

/// A consumer's transaction hears of calls, which may wait for a row that it has changed: it ends sooner then.
#[tokio::test]
async fn a_transaction_of_a_consumer_hears_whether_calls_are_under_way() {
    let (store, _) = databases().await.bank_with(options()).await;
    let backend = store.backend();
    let of_consumer = backend.begin(Class::Consumer).await.expect("a connection");
    let another = backend.begin(Class::Consumer).await.expect("a connection");
    assert!(!of_consumer.is_awaited(), "consumers do not wait for each other");
    let read = backend.snapshot().await.expect("a connection");
    assert!(!of_consumer.is_awaited(), "who reads waits for no row");
    drop(read);
    let call = backend.begin(Class::Call).await.expect("a connection");
    assert!(of_consumer.is_awaited() && another.is_awaited(), "it is asked, and not told once");
    drop(call);
    assert!(!of_consumer.is_awaited(), "the call is over");
}
