//! Killed at each point of a transaction: what was acknowledged is there, and the file is whole.

use std::collections::BTreeMap;
use std::io::Write;

use divisi_sqlite::{FAILPOINTS, Options, Sqlite};
use divisi_store::conformance::account::{deposit, is_consistent};
use rusqlite::Connection;

use crate::fixture::{name, schema};
use crate::own_process;

/// Writes until it is killed, and says what was acknowledged.
async fn write_until_killed() {
    let dir = std::env::var_os("DIVISI_TEST_DIR").expect("a directory");
    let (store, _) =
        Sqlite::new(dir, Options::default()).open_store(&name(), &schema()).await.expect("it opens");
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            for _ in 0..200 {
                let account = format!("account-{writer}");
                let (balance, _) = deposit(&store, &account, 1).await.expect("it commits");
                let said = format!("acknowledged {account} {balance}\n");
                std::io::stdout().write_all(said.as_bytes()).expect("somebody listens");
            }
        });
    }
    writers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_at_any_point() {
    if own_process::is_child() {
        return write_until_killed().await;
    }
    let test = "crash::what_was_acknowledged_survives_a_kill_at_any_point";
    for (point, at) in FAILPOINTS.iter().zip([3, 50, 77, 1, 9, 20]) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().display().to_string();
        let output = own_process::run(
            test,
            &[("DIVISI_TEST_DIR", &path), ("DIVISI_FAIL", &format!("{point}=kill@{at}"))],
        );
        assert!(!output.status.success(), "{point}: it was to be killed");
        let mut acknowledged: BTreeMap<String, i64> = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some((account, balance)) =
                line.strip_prefix("acknowledged ").and_then(|rest| rest.split_once(' '))
            {
                acknowledged.insert(account.to_owned(), balance.parse().expect("a balance"));
            }
        }
        let (store, _) = Sqlite::new(dir.path(), Options::default())
            .open_store(&name(), &schema())
            .await
            .expect("it opens again");
        let found = is_consistent(&store).await;
        for (account, balance) in &acknowledged {
            let found = found.get(account).copied().unwrap_or_default();
            // One more may be there: it was committed, and the kill came before the answer.
            assert!(
                (*balance..=balance + 1).contains(&found),
                "{point}: {account} has {found}, {balance} was acknowledged"
            );
        }
        store.close().await;
        let connection = Connection::open(dir.path().join("bank.db")).expect("the file opens");
        let whole: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
        assert_eq!(whole, "ok", "{point}");
    }
}
