//! Copies of a database whose writers never pause.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
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
    // The first backup may come before all of the writers.
    deposit(&store, "first", 1).await.expect("it commits");
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
        assert_eq!((path, *bytes), (&to.join("bank.db"), fs::metadata(path).expect("the copy").len()));
        let (copy, _) =
            Sqlite::new(&to, fast()).open_store(&name(), &schema()).await.expect("the copy opens");
        let total: i64 = is_consistent(&copy).await.values().sum();
        assert!(before < total, "{before} before, {total} now");
        before = total;
        copy.close().await;
    }
    writers.abort_all();
    while let Some(ended) = writers.join_next().await {
        assert!(!ended.is_err_and(|error| error.is_panic()), "a writer was refused");
    }
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
    let files_in = |dir: &Path| {
        let entries = fs::read_dir(dir).expect("a directory").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(files_in(to.path()), ["bank.db", "bank.statement.v2.db"], "the copies and nothing else");
    let beside: Vec<_> = files_in(dir.path()).into_iter().filter(|name| name.contains("-wal")).collect();
    assert!(beside.is_empty(), "what was one file stays one file: {beside:?}");
    drop(open(&to, fast()).await);
}

/// As its owner has it, nobody else reads it.
#[tokio::test]
async fn a_copy_may_be_read_by_whom_the_original_may() {
    let Fixture { store, dir, .. } = fixture(fast()).await;
    store.close().await;
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let only =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    only(dir.path(), 0o700);
    only(&dir.path().join("bank.db"), 0o600);
    let to = tempfile::tempdir().expect("a directory");
    let to = to.path().join("deep/monday");
    Sqlite::new(dir.path(), fast()).back_up(&[name().service], &to).await.expect("it is copied");
    assert_eq!((mode(&to), mode(&to.join("bank.db"))), (0o700, 0o600));
}
