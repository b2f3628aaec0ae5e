//! What is sent without waiting: that nothing waits for it, that it is not taken for silence, and that it keeps its order.

use std::time::Duration;

use divisi_contract::CallError;
use divisi_postgres::Options;
use divisi_store::conformance::account::{balances, cx, deposit, schema};
use divisi_store::{Store, StoreName, Stores, Tx, params};
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
    let slow =
        "WITH waited AS (SELECT pg_sleep(0.1)) UPDATE account SET balance = $2 FROM waited WHERE id = $1";
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

/// It names the statement that it is of, since it shows at another one.
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
            assert!(later.message.contains("constraint") && later.message.contains(SET), "{later}");
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
