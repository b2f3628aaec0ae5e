//! Copies of a database whose writers never pause.

use std::time::Duration;

use divisi_contract::error::Chain;
use divisi_sqlite::Sqlite;
use divisi_store::conformance::account::{deposit, is_consistent};
use divisi_store::{Schema, StoreName, Stores};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, fast, fixture, name, open, schema};

/// More than a group can hold, so that the next one is there when a group ends.
const WRITERS: usize = 300;
const BACKUPS: usize = 3;
/// How long a backup may wait for its turn, and copy.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_finds_its_turn_among_writers_and_is_of_one_moment() {
    let Fixture { store, dir, .. } = fixture(fast()).await;
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            loop {
                deposit(&store, &format!("account {n}"), 1).await.expect("it commits");
            }
        });
    }
    let (files, services) = (Sqlite::new(dir.path(), fast()), [name().service]);
    let copies = tempfile::tempdir().expect("a directory");
    let mut before = 0;
    for n in 0..BACKUPS {
        let to = copies.path().join(n.to_string());
        let backup = tokio::time::timeout(PATIENCE, files.back_up(&services, &to)).await;
        let done = backup.expect("its turn comes").unwrap_or_else(|error| panic!("{}", Chain(&error)));
        assert_eq!(done.copies.len(), 1, "{done:?}");
        let (path, bytes) = &done.copies[0];
        assert_eq!((path, *bytes), (&to.join("bank.db"), std::fs::metadata(path).expect("the copy").len()));
        let (copy, _) =
            Sqlite::new(&to, fast()).open_store(&name(), &schema()).await.expect("the copy opens");
        let total: i64 = is_consistent(&copy).await.values().sum();
        assert!(before < total, "{before} before, {total} now");
        before = total;
        copy.close().await;
    }
    writers.abort_all();
    while writers.join_next().await.is_some() {}
    let now: i64 = is_consistent(&store).await.values().sum();
    assert!(before <= now, "nothing is in a copy that is not in the database");
    store.close().await;
}

#[tokio::test]
async fn the_projection_that_readers_see_is_copied_and_no_other() {
    let Fixture { store, dir, .. } = fixture(fast()).await;
    let files = Sqlite::new(dir.path(), fast());
    for version in 1..=3 {
        let name = StoreName::projection("bank", "statement", version);
        files.open(&name, &Schema::default()).await.expect("it opens").close().await;
    }
    store.close().await;
    let own = rusqlite::Connection::open(dir.path().join("bank.db")).expect("the file opens");
    own.execute_batch(
        "INSERT INTO divisi_projection (name, active, shape, building) VALUES ('statement', 2, 1, 3), ('gone', 1, 1, NULL)",
    )
    .expect("two projections");
    drop(own);
    let to = tempfile::tempdir().expect("a directory");
    let done = files.back_up(&[name().service], to.path()).await.expect("it is copied");
    let copies: Vec<_> = done.copies.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(copies, ["bank.statement.v2.db", "bank.db"].map(|file| to.path().join(file)));
    let copied = tempfile::TempDir::new_in(to.path()).expect("a directory");
    std::fs::copy(to.path().join("bank.db"), copied.path().join("bank.db")).expect("a copy of the copy");
    drop(open(&copied, fast()).await);
}
