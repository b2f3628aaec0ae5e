//! Another process, a backup or a command line tool, has the database's lock.

use std::pin::Pin;
use std::time::{Duration, Instant};

use divisi_contract::CallError;
use divisi_contract::error::Chain;
use divisi_store::conformance::account::{balances, deposit};
use divisi_store::{Position, Store};
use rusqlite::Connection;
use tokio::task::yield_now;

use crate::fixture::{Fixture, fast, fixture, poll_each_once};

/// The lock, as somebody else has it.
fn locked(dir: &std::path::Path) -> Connection {
    let somebody = Connection::open(dir.join("bank.db")).expect("the file opens");
    somebody.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    somebody
}

async fn fixture_with(n_deposits: i64) -> Fixture {
    let fixture = fixture(fast()).await;
    for _ in 0..n_deposits {
        deposit(&fixture.store, "a", 1).await.expect("it commits");
    }
    fixture
}

async fn balance(store: &Store) -> i64 {
    balances(store).await.get("a").copied().unwrap_or_default()
}

type Deposit<'a> = Pin<Box<dyn Future<Output = Result<(i64, Vec<Position>), CallError>> + Send + 'a>>;

/// One that has found the lock taken.
async fn waits(store: &Store, amount: i64) -> Deposit<'_> {
    let mut deposits: [Deposit<'_>; 1] = [Box::pin(deposit(store, "a", amount))];
    assert!(poll_each_once(&mut deposits).await.iter().all(Option::is_none), "it waits");
    let [waiting] = deposits;
    waiting
}

/// On one thread: it is the one that gives the lock back, which a thread that waits could not do.
#[tokio::test]
async fn whoever_writes_waits_for_the_lock_without_a_thread() {
    let Fixture { store, dir, .. } = fixture_with(1).await;
    let lock = locked(dir.path());
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { deposit(&store, "a", 1).await })
        })
        .collect();
    for _ in 0..100 {
        yield_now().await;
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    assert_eq!(balance(&store).await, 1, "reads go on");
    lock.execute_batch("ROLLBACK").expect("the lock is given back");
    for waiting in waiting {
        waiting.await.expect("no panic").expect("it commits");
    }
    assert_eq!(balance(&store).await, 4);
    store.close().await;
}

#[tokio::test]
async fn one_who_goes_away_while_the_lock_is_held_stalls_nobody() {
    let Fixture { store, dir, .. } = fixture_with(1).await;
    let lock = locked(dir.path());
    // Never polled again.
    drop(waits(&store, 10).await);
    let slow = waits(&store, 100).await;
    lock.execute_batch("ROLLBACK").expect("the lock is given back");
    deposit(&store, "a", 1).await.expect("it does not wait for the slow one");
    slow.await.expect("it commits when it is polled");
    assert_eq!(balance(&store).await, 102);
    store.close().await;
}

/// It takes as long as the limit is.
#[tokio::test]
async fn a_lock_that_is_not_given_back_ends_as_an_error_that_says_so() {
    let Fixture { store, dir, .. } = fixture_with(1).await;
    let lock = locked(dir.path());
    let before = Instant::now();
    let refused = deposit(&store, "a", 1).await.expect_err("the lock is not given back");
    assert!(matches!(refused, CallError::NotRun(_)), "nothing happened: {refused:?}");
    assert!(before.elapsed() >= Duration::from_secs(5), "somebody may take some time");
    let said = Chain(&refused).to_string();
    assert!(
        said.contains("another process (a backup, a command line tool) has had the database's lock"),
        "{said}"
    );
    lock.execute_batch("ROLLBACK").expect("the lock is given back");
    deposit(&store, "a", 1).await.expect("it commits again");
    assert_eq!(balance(&store).await, 2);
    store.close().await;
}

/// The first lock was seen once, and whoever saw it went away.
#[tokio::test]
async fn a_lock_is_not_taken_for_one_of_long_before() {
    let Fixture { store, dir, .. } = fixture_with(1).await;
    let lock = locked(dir.path());
    drop(waits(&store, 10).await);
    drop(lock);
    // Longer ago than one lock may be held: it is the system's clock that counts.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let lock = locked(dir.path());
    let waiting = waits(&store, 1).await;
    drop(lock);
    waiting.await.expect("it commits");
    store.close().await;
}

#[tokio::test]
async fn a_store_can_be_closed_while_the_lock_is_held() {
    let Fixture { store, dir, .. } = fixture_with(1).await;
    let lock = locked(dir.path());
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { deposit(&store, "a", 1).await })
    };
    for _ in 0..100 {
        yield_now().await;
    }
    assert!(!waiting.is_finished());
    store.close().await;
    waiting.await.expect("no panic").expect_err("it is closed");
    drop(lock);
}
