//! A future that is dropped at any point leaves no connection inside a transaction.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use divisi_contract::CallError;
use divisi_postgres::Options;
use divisi_store::conformance::account::{add, balances, cx, deposit, is_consistent};
use divisi_store::{Read, Store, StoreError, Tx, params};
use fastrand::Rng;
use tokio::sync::oneshot;

use crate::fixture::{databases, options};

const CANCELLATIONS: usize = 200;
const MORE: &str = "UPDATE account SET balance = balance + $2 WHERE id = $1";

async fn work(store: &Store, account: &str) -> Result<i64, CallError> {
    store
        .transact(&cx(), async |tx: &mut Tx| {
            add(tx, account, 1).await?;
            let nested: Result<i64, CallError> = tx
                .nested(async |tx: &mut Tx| {
                    add(tx, account, 10).await?;
                    add(tx, account, -1_000).await
                })
                .await;
            assert!(nested.is_err(), "below zero");
            // The one without the other would show.
            tx.send(MORE, params![account, 1_000]).await?;
            tx.query::<(i64,)>("SELECT balance FROM account WHERE id = $1", params![account]).await?;
            tx.send(MORE, params![account, -1_000]).await?;
            add(tx, account, 1).await
        })
        .await
}

/// Whether the server says that some session of the database stands inside a transaction.
async fn n_open(databases: &crate::fixture::Databases) -> String {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state LIKE 'idle in transaction%'",
        databases.database("bank")
    );
    databases.server.sql(sql).await.expect("a look").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_cancellations_at_random_points_leave_no_connection_in_a_transaction() {
    let databases = databases().await;
    let options = Options { connections_max: 3, connections_of_consumers: 1, ..options() };
    let (store, _) = databases.bank_with(options).await;
    let mut rng = Rng::with_seed(7);
    let mut finished = 0;
    for n in 0..CANCELLATIONS {
        let account = format!("account-{}", n % 5);
        let limit = rng.usize(1..40);
        let reads = rng.u8(..) < 40;
        let mut polled = 0;
        let mut working = pin!(async {
            if reads {
                let read: Result<Vec<(i64,)>, StoreError> = store
                    .read(async |read: &mut Read| {
                        read.query::<(i64,)>("SELECT balance FROM account", &[]).await?;
                        read.query("SELECT balance FROM account", &[]).await
                    })
                    .await;
                read.map(drop).map_err(|error| error.to_string())
            } else {
                work(&store, &account).await.map(drop).map_err(|error| error.to_string())
            }
        });
        let done = poll_fn(|task| {
            polled += 1;
            match working.as_mut().poll(task) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if polled >= limit => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        if let Some(done) = done {
            done.expect("what is not dropped succeeds");
            finished += 1;
        }
        // Whoever comes next is outside of the dropped one's transaction: what it sees is what was committed.
        let before = balances(&store).await;
        let (after, _) =
            deposit(&store, "witness", 1).await.expect("the next one has a transaction of its own");
        assert_eq!(after, before.get("witness").copied().unwrap_or_default() + 1);
    }
    assert!(
        (CANCELLATIONS / 10..CANCELLATIONS).contains(&finished),
        "some were dropped, some not: {finished}"
    );
    let look = async || n_open(&databases).await;
    crate::fixture::eventually("no session stands in a transaction", look, |n| n == "0").await;
    let balances = is_consistent(&store).await;
    assert_eq!(balances.get("witness"), Some(&(CANCELLATIONS as i64)));
    assert!(
        balances.values().all(|balance| balance % 2 == 0 || *balance == CANCELLATIONS as i64),
        "whole or nothing"
    );
    tokio::time::timeout(Duration::from_secs(10), store.close()).await.expect("no connection is missing");
}

/// What waits to be sent when its transaction is dropped is never sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_yet_is_dropped_with_its_transaction() {
    let databases = databases().await;
    let options = Options { connections_max: 2, connections_of_consumers: 1, ..options() };
    let (store, _) = databases.bank_with(options).await;
    deposit(&store, "a", 1).await.expect("it commits");
    for n in 1..=10 {
        let (waits, waiting) = oneshot::channel();
        let held = tokio::spawn({
            let store = store.clone();
            async move {
                let never: Result<(), CallError> = store
                    .transact(&cx(), async move |tx: &mut Tx| {
                        tx.execute(MORE, params!["a", 10]).await?;
                        tx.send(MORE, params!["a", 1_000]).await?;
                        let _ = waits.send(());
                        pending().await
                    })
                    .await;
                never
            }
        });
        waiting.await.expect("it comes so far");
        held.abort();
        assert!(held.await.is_err_and(|error| error.is_cancelled()));
        deposit(&store, "witness", 1).await.expect("the next one has a transaction of its own");
        let balances = is_consistent(&store).await;
        assert_eq!((balances.get("a"), balances.get("witness")), (Some(&1), Some(&n)));
    }
    let look = async || n_open(&databases).await;
    crate::fixture::eventually("no session stands in a transaction", look, |n| n == "0").await;
    tokio::time::timeout(Duration::from_secs(10), store.close()).await.expect("no connection is missing");
}
