//! What is sent without waiting: that nothing waits for it, that it is not taken for silence, and that it keeps its order.

use std::time::Duration;

use divisi_contract::CallError;
use divisi_postgres::Options;
use divisi_store::conformance::account::{balances, cx, deposit, schema};
use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::{
    Class, Epoch, Isolation, Lane, Pos, Schema, Store, StoreError, StoreErrorKind, StoreName, Stores, Tx,
    TxFailed, params,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::fixture::{databases, options};

const SET: &str = "UPDATE account SET balance = $2 WHERE id = $1";
/// For what happens at once, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sets the balance of "a", which another transaction holds, and says when it has gone on.
async fn set_what_is_held(
    store: &Store,
    sends: bool,
    has_gone_on: oneshot::Sender<()>,
) -> Result<(), CallError> {
    store
        .transact(&cx(), async move |tx: &mut Tx| {
            tx.execute(SET, params!["b", 2]).await?;
            if sends {
                tx.send(SET, params!["a", 7]).await?;
            } else {
                tx.execute(SET, params!["a", 7]).await?;
            }
            let _ = has_gone_on.send(());
            Ok(())
        })
        .await
}

/// Holds the row of "a" until it may go.
async fn hold(
    store: &Store,
    holds: oneshot::Sender<()>,
    may_go: oneshot::Receiver<()>,
) -> Result<(), CallError> {
    store
        .transact(&cx(), async move |tx: &mut Tx| {
            tx.execute(SET, params!["a", 1]).await?;
            let _ = holds.send(());
            let _ = may_go.await;
            Ok(())
        })
        .await
}

/// The row is another transaction's until somebody has gone on after the statement that wants it: who waited for the statement would never
/// go on, as the control shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_what_is_sent() {
    let databases = databases().await;
    let store = databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    for account in ["a", "b"] {
        deposit(&store, account, 1).await.expect("it commits");
    }
    for sends in [true, false] {
        let (holds, held) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        let holding = tokio::spawn({
            let store = store.clone();
            async move { hold(&store, holds, may_go).await }
        });
        held.await.expect("the row is held");
        let (gone_on, has_gone_on) = oneshot::channel();
        let setting = tokio::spawn({
            let store = store.clone();
            async move { set_what_is_held(&store, sends, gone_on).await }
        });
        if sends {
            timeout(PATIENCE, has_gone_on).await.expect("it does not wait").expect("it goes on");
        } else {
            timeout(Duration::from_millis(300), has_gone_on).await.expect_err("it waits for the row");
        }
        drop(go);
        holding.await.expect("no panic").expect("it commits");
        setting.await.expect("no panic").expect("it commits");
        assert_eq!(balances(&store).await.get("a"), Some(&7));
        deposit(&store, "a", 1).await.expect("it commits");
    }
}

/// Each answer has its own time: thirty statements may take thirty times as long as a server may be silent.
#[tokio::test]
async fn many_slow_statements_are_no_silence() {
    let databases = databases().await;
    let options = Options {
        statement_timeout: Duration::from_millis(800),
        silence_timeout: Duration::from_millis(400),
        ..options()
    };
    let stores = databases.stores_with(options);
    let store = stores.open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    deposit(&store, "a", 1).await.expect("it commits");
    let slow = "UPDATE account SET balance = $2 WHERE id = $1 AND (SELECT pg_sleep(0.1)) IS NOT NULL";
    let done: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            for n in 1..=30 {
                tx.send(slow, params!["a", n]).await?;
            }
            Ok(())
        })
        .await;
    done.expect("it commits");
    assert_eq!(balances(&store).await.get("a"), Some(&30));
}

/// What makes a table is not left to later: the next statement is prepared before that would be.
#[tokio::test]
async fn a_table_is_there_for_the_next_statement() {
    let databases = databases().await;
    let store = databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    let done: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            tx.send("INSERT INTO account VALUES ('a', 1)", params![]).await?;
            tx.send("CREATE TABLE made (n BIGINT NOT NULL)", params![]).await?;
            tx.send("INSERT INTO made SELECT balance FROM account", params![]).await?;
            let (n,): (i64,) = tx.query_one("SELECT n FROM made", params![]).await?;
            assert_eq!(n, 1);
            Ok(())
        })
        .await;
    done.expect("it commits");
}

/// It says that it is of another statement than the one at which it shows, and the log which.
#[tokio::test]
async fn a_failure_that_shows_later_names_its_statement() {
    let databases = databases().await;
    let store = databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    deposit(&store, "a", 1).await.expect("it commits");
    let failed: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            tx.execute(SET, params!["a", 1]).await?;
            tx.send(SET, params!["a", -1]).await?;
            let later =
                tx.execute("DELETE FROM account WHERE id = 'b'", params![]).await.expect_err("it fails");
            assert!(later.message.contains("constraint") && later.message.contains("sent before"), "{later}");
            let source = later.source.expect("what the driver said").to_string();
            assert!(source.contains(SET), "for the log: {source}");
            // Nothing that is wrong at once waits for that.
            let unfit = tx.send(SET, params!["a", "many"]).await.expect_err("no number");
            assert!(unfit.message.contains("type"), "{unfit}");
            let missing = tx.send(SET, params!["a"]).await.expect_err("one is missing");
            assert!(missing.message.contains("2 parameters"), "{missing}");
            tx.send("COMMIT", params![]).await.expect_err("transaction control");
            Ok(())
        })
        .await;
    assert!(failed.is_err_and(|error| !error.may_have_run()));
    assert_eq!(balances(&store).await.get("a"), Some(&1));
}

/// A plan that is stale by the time of COMMIT is made anew for the next transaction, as it is where the statement is waited for.
#[tokio::test]
async fn a_stale_plan_that_shows_at_commit_is_made_anew() {
    let databases = databases().await;
    let options = Options { connections_max: 2, connections_of_consumers: 1, ..options() };
    let store =
        databases.stores_with(options).open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    deposit(&store, "a", 1).await.expect("it commits");
    let send = async || -> Result<(), CallError> {
        store
            .transact(&cx(), async |tx: &mut Tx| {
                tx.execute(SET, params!["a", 1]).await?;
                Ok(tx.send("UPDATE account SET balance = 2 WHERE id = $1 RETURNING *", params!["a"]).await?)
            })
            .await
    };
    // On each of its connections.
    for _ in 0..4 {
        send().await.expect("it commits");
    }
    let alter = "ALTER TABLE account ADD also BIGINT";
    databases.server.sql_in(&databases.database("bank"), alter).await.expect("the table changes");
    let failed = async || {
        let mut n_failed = 0;
        while send().await.is_err() {
            n_failed += 1;
            assert!(n_failed <= 2, "each connection notices once");
        }
        n_failed
    };
    assert!(failed().await >= 1, "so that the test can fail");
    for _ in 0..8 {
        let _ = failed().await;
    }
    assert_eq!(failed().await, 0);
}

/// A race that was lost by what a part has sent is the transaction's, not the part's alone.
#[tokio::test]
async fn a_race_lost_by_a_part_is_known_as_one() {
    let databases = databases().await;
    let strict = Schema { isolation: Isolation::RepeatableRead, ..schema() };
    let store = databases.stores().open(&StoreName::of("bank"), &strict).await.expect("it opens");
    deposit(&store, "a", 1).await.expect("it commits");
    let other = store.clone();
    let seen = store
        .run(Class::Call, async |tx: &mut Tx| {
            let _: (i64,) = tx.query_one("SELECT count(*) FROM account", params![]).await?;
            // In a task of its own: a transaction within a transaction is refused.
            let other = other.clone();
            let between = tokio::spawn(async move { deposit(&other, "a", 1).await.map(drop) });
            between.await.expect("no panic").expect("it commits in between");
            let part: Result<(), CallError> =
                tx.nested(async |tx: &mut Tx| Ok(tx.send(SET, params!["a", 7]).await?)).await;
            assert!(part.is_err(), "the row has changed since");
            Ok::<_, StoreError>(tx.lost_race().map(|race| race.kind))
        })
        .await;
    let (seen, _) = seen.expect("it may commit nothing");
    assert_eq!(seen, Some(StoreErrorKind::Conflict));
}

/// A watermark that is not there does not count as moved, and what it was to move with does not happen, also where that shows only
/// behind COMMIT.
#[tokio::test]
async fn a_watermark_that_is_gone_is_never_called_moved() {
    let databases = databases().await;
    let store = databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    let inbox = Inbox { consumer: "reader".into(), source: "shop".into(), topic: "sales".into() };
    let to = Watermark { epoch: Epoch(1), pos: Pos(7) };
    let moved = async |waits: bool| {
        let outcome = store.run(Class::Consumer, async |tx: &mut Tx| {
            tx.execute("INSERT INTO account VALUES ($1, 1)", params![format!("{waits}")]).await?;
            inbox.advance(tx, Lane(0), to, None).await?;
            if waits {
                tx.execute(SET, params!["nobody", 1]).await?;
            }
            Ok::<_, StoreError>(())
        });
        outcome.await.map(drop).expect_err("there is no such row")
    };
    for waits in [true, false] {
        let undone = moved(waits).await;
        let (TxFailed::Body(error) | TxFailed::DidNotHappen(error)) = &undone else { panic!("{undone:?}") };
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error:?}");
        assert!(error.message.contains("is gone"), "{error}");
    }
    assert!(balances(&store).await.is_empty());
}
