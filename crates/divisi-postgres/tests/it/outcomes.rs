//! What is answered when nobody can know, and when one can.

use divisi_contract::{CallError, Context, Keyed};
use divisi_postgres::{Options, Postgres, Urls};
use divisi_store::conformance::account::{add, balances, cx, deposit, is_consistent, schema, whole_log};
use divisi_store::{Store, StoreName, Stores, Tx, params};

use crate::fixture::{Databases, databases, eventually, options};
use crate::proxy::{Cut, Proxy};

/// A store behind a wire that can be cut.
async fn behind_a_proxy(databases: &Databases) -> (Store, Proxy) {
    let proxy = Proxy::before(databases.server.address()).await;
    let url = databases.url_behind(&proxy, "bank");
    // The database is made on the direct way, so that nothing is cut there.
    databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("a store opens").close().await;
    let options = Options { connections_max: 2, connections_of_consumers: 1, ..options() };
    let stores = Postgres::new(Urls::none().with("bank", url), options);
    (stores.open(&StoreName::of("bank"), &schema()).await.expect("a store opens"), proxy)
}

/// F-2: numbered and appended, and then the connection is gone before COMMIT: nothing is there, and the positions are
/// used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_appended_and_not_committed_leaves_nothing_and_its_positions_are_used_again() {
    let databases = databases().await;
    let (store, proxy) = behind_a_proxy(&databases).await;
    deposit(&store, "a", 1).await.expect("it commits");
    proxy.cut_next(Cut::BeforeCommit);
    let cut = deposit(&store, "a", 1).await.expect_err("the wire was cut");
    assert!(cut.may_have_run(), "COMMIT was sent, as far as this side knows: {cut:?}");
    assert_eq!(proxy.n_cut(), 1);
    // The server notices by itself that nobody is there, and gives the lane's lock back.
    let (_, positions) = deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!(positions[0].pos.0, 2, "no position was used up");
    assert_eq!(is_consistent(&store).await.get("a"), Some(&2));
}

/// What the server has said against a statement counts, also when nobody hears the end of the COMMIT behind it; of one that it has done,
/// or said nothing of, nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_before_a_lost_commit_did_not_happen() {
    let databases = databases().await;
    let (store, proxy) = behind_a_proxy(&databases).await;
    deposit(&store, "a", 1).await.expect("it commits");
    let set = async |balance: i64| -> Result<(), CallError> {
        store
            .transact(&cx(), async |tx: &mut Tx| {
                tx.execute("UPDATE account SET balance = balance WHERE id = 'a'", &[]).await?;
                tx.send("UPDATE account SET balance = $1 WHERE id = 'a'", params![balance]).await?;
                Ok(tx.send("UPDATE account SET balance = balance WHERE id = 'a'", params![]).await?)
            })
            .await
    };
    // None may be below zero.
    for (balance, at, may_have_run) in [
        (-1, Cut::BeforeCommitAnswered, false),
        (-1, Cut::AfterRefusal, false),
        (7, Cut::BeforeCommitAnswered, true),
    ] {
        proxy.cut_next(at);
        let cut = set(balance).await.expect_err("the wire was cut");
        assert_eq!(cut.may_have_run(), may_have_run, "{at:?}: {cut:?}");
    }
    assert_eq!(proxy.n_cut(), 3);
    assert_eq!(is_consistent(&store).await.get("a"), Some(&1));
}

/// A BEGIN that the server refuses, with a statement behind it that it does all the same: nobody is told that it did not happen, and
/// nothing more is done there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_behind_a_refused_begin_is_not_called_undone() {
    const INSERT: &str = "INSERT INTO account (id, balance) VALUES ($1, $2)";
    let databases = databases().await;
    let (store, proxy) = behind_a_proxy(&databases).await;
    for (account, goes_on) in [("a", false), ("b", true)] {
        proxy.spoil_next_begin();
        let outcome: Result<(), CallError> = store
            .transact(&cx(), async |tx: &mut Tx| {
                let first = tx.execute(INSERT, params![account, 1]).await;
                first.as_ref().expect_err("BEGIN was refused");
                if !goes_on {
                    first?;
                }
                tx.execute(INSERT, params![format!("{account} and more"), 1])
                    .await
                    .expect_err("no transaction");
                Ok(())
            })
            .await;
        let unknown = outcome.expect_err("nobody knows");
        assert!(unknown.may_have_run(), "{unknown:?}");
        assert_eq!(balances(&store).await.get(account), Some(&1), "so that the test can fail");
    }
    // One that fails behind it did not happen.
    proxy.spoil_next_begin();
    let refused: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            tx.execute(INSERT, params!["c", -1]).await?;
            Ok(())
        })
        .await;
    assert!(refused.is_err_and(|error| !error.may_have_run()));
    assert_eq!(balances(&store).await.len(), 2);
    deposit(&store, "d", 1).await.expect("the store goes on");
}

/// F-3: the answer to COMMIT is lost: it may have run, the events are there once, and under its key it is tried again
/// without a second effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_told_as_such_and_its_key_brings_the_answer() {
    let databases = databases().await;
    let (store, proxy) = behind_a_proxy(&databases).await;
    let keyed = || cx().with_keyed(Keyed::new("accounts.add/it".to_owned(), "k".into(), [1; 16]));
    let keyed_add = async |cx: Context| -> Result<i64, CallError> {
        store.transact(&cx, async |tx: &mut Tx| add(tx, "a", 5).await).await
    };
    proxy.cut_next(Cut::AfterCommit);
    let unknown = keyed_add(keyed()).await.expect_err("the wire was cut");
    assert!(unknown.may_have_run(), "{unknown:?}");
    assert_eq!(proxy.n_cut(), 1);
    assert_eq!(keyed_add(keyed()).await.expect("the kept answer"), 5, "the first one did run");
    assert_eq!(is_consistent(&store).await.get("a"), Some(&5), "once");
    assert_eq!(whole_log(&store).await.len(), 1);
}

/// A statement that fails undoes the transaction on PostgreSQL, also when the closure passes over its error.
#[tokio::test]
async fn a_transaction_with_a_failed_statement_is_not_called_a_success() {
    let (store, _) = databases().await.bank().await;
    for emits in [false, true] {
        let passed_over: Result<(), CallError> = store
            .transact(&cx(), async |tx: &mut Tx| {
                if emits {
                    add(tx, "a", 1).await?;
                } else {
                    tx.execute("INSERT INTO account (id, balance) VALUES ('b', 1)", &[]).await?;
                }
                assert!(tx.execute("SELECT no_such_column FROM account", &[]).await.is_err());
                Ok(())
            })
            .await;
        let refused = passed_over.expect_err("nothing of it is there");
        assert!(!refused.may_have_run(), "{refused:?}");
        assert!(is_consistent(&store).await.is_empty());
    }
    deposit(&store, "a", 1).await.expect("the store goes on");
}

/// A transaction that was dropped while a statement ran for long does not hold its locks for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_statement_does_not_run_on() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    deposit(&store, "a", 1).await.expect("it commits");
    let holding = {
        let store = store.clone();
        tokio::spawn(async move {
            let _: Result<i64, CallError> = store
                .transact(&cx(), async |tx: &mut Tx| {
                    add(tx, "a", 1).await?;
                    tx.query::<(Option<String>,)>("SELECT pg_sleep(9)::text", &[]).await?;
                    Ok(0)
                })
                .await;
        })
    };
    let sleeping = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
        databases.database("bank")
    );
    let server = &databases.server;
    let count = async || server.sql(sleeping.clone()).await.expect("a look").trim().to_owned();
    eventually("the statement runs", count, |n| n == "1").await;
    holding.abort();
    let began = tokio::time::Instant::now();
    deposit(&store, "a", 1).await.expect("the row is free again");
    assert!(began.elapsed().as_secs() < 4, "long before the statement's own end: {:?}", began.elapsed());
    assert_eq!(is_consistent(&store).await.get("a"), Some(&2));
}

/// BEGIN goes with the first statement, so that one may find a connection that the server closed long ago: a restart, an
/// operator, a limit on idle sessions. Nothing was done there, and the caller hears nothing of it.
#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_passed_over() {
    let databases = databases().await;
    let (store, _) = databases.bank_with(options()).await;
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
        databases.database("bank")
    );
    let end_all = || {
        // This thread stands still meanwhile, so nothing here hears of the end before the next statement is sent.
        let (server, sql) = (databases.server.clone(), sql.clone());
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(server.sql(sql)).expect("an operator may")
        });
        assert_ne!(ended.join().expect("it ends").trim(), "0", "sessions were ended");
    };
    for n in 1..=5 {
        end_all();
        deposit(&store, "a", 1).await.expect("it commits");
        end_all();
        assert_eq!(balances(&store).await.get("a"), Some(&n));
    }
    assert_eq!(is_consistent(&store).await.get("a"), Some(&5), "each once");
}
