//! Where a file may live, whose it is, and what is said when it cannot be used.

use std::error::Error;
use std::fs;

use divisi_contract::error::Chain;
use divisi_sqlite::{Options, Sqlite};
use divisi_store::conformance::account::{balances, deposit, everything, whole_log};
use divisi_store::{Epoch, Lane, OpenError, Pos, Schema, Store, StoreName, Stores};

use crate::fixture::{Fixture, fast, fixture, name, open, schema};
use crate::own_process;

#[tokio::test]
async fn a_second_process_is_told_who_has_the_file() {
    if own_process::is_child() {
        let dir = std::env::var_os("DIVISI_TEST_DIR").expect("a directory");
        let refused =
            Sqlite::new(dir, fast()).open_store(&name(), &schema()).await.expect_err("it is in use");
        println!("refused: {refused}");
        return;
    }
    let options = Options { address: Some("127.0.0.1:4000".to_owned()), ..fast() };
    let Fixture { store, backend, dir } = fixture(options).await;
    deposit(&store, "a", 1).await.expect("it commits");
    let test = "opening::a_second_process_is_told_who_has_the_file";
    let output = own_process::run(test, &[("DIVISI_TEST_DIR", &dir.path().display().to_string())]);
    let said = String::from_utf8_lossy(&output.stdout);
    let owner = format!("in use by process {} at 127.0.0.1:4000", std::process::id());
    assert!(said.contains("refused: ") && said.contains(&owner), "{said}");
    deposit(&store, "a", 1).await.expect("the owner goes on");
    let twice = Sqlite::new(dir.path(), fast()).open_store(&name(), &schema()).await;
    assert!(matches!(twice, Err(OpenError::InUse { .. })), "not twice in one process either");
    store.close().await;
    let (store, _) = open(&dir, fast()).await;
    assert_eq!(balances(&store).await.get("a"), Some(&2), "whoever comes after the close may");
    drop(backend);
}

#[tokio::test]
async fn a_file_of_another_service_is_refused() {
    let Fixture { store, dir, .. } = fixture(fast()).await;
    store.close().await;
    fs::rename(dir.path().join("bank.db"), dir.path().join("shop.db")).expect("a copy");
    let refused = Sqlite::new(dir.path(), fast()).open_store(&StoreName::of("shop"), &schema()).await;
    let said = refused.expect_err("it is the bank's").to_string();
    assert!(said.contains("`bank`") && said.contains("`shop`"), "{said}");
}

#[tokio::test]
async fn a_database_of_something_else_is_named_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bank.db");
    let theirs = rusqlite::Connection::open(&path).expect("a database");
    theirs
        .execute_batch("CREATE TABLE customers (id INTEGER); INSERT INTO customers VALUES (1)")
        .expect("a table");
    drop(theirs);
    let before = fs::read(&path).expect("their file");
    let refused =
        Sqlite::new(dir.path(), fast()).open_store(&name(), &schema()).await.expect_err("it is not ours");
    let said = Chain(&refused).to_string();
    for words in ["bank.db", "a database of something else", "`customers`", "move it away"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(fs::read(&path).expect("their file"), before);

    // An empty file is what a first start that was killed may leave.
    fs::write(&path, "").expect("an empty file");
    Sqlite::new(dir.path(), fast()).open_store(&name(), &schema()).await.expect("it opens");
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("bank.db"), "this is not a database, however long it is ".repeat(500))
        .expect("a file");
    let refused =
        Sqlite::new(dir.path(), fast()).open_store(&name(), &schema()).await.expect_err("it is damaged");
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
    assert!(refused.to_string().contains("bank.db"), "{refused}");
    assert!(refused.source().is_some(), "what SQLite says is in the chain");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a-file");
    fs::write(&file, "").expect("a file");
    let refused = Sqlite::new(&file, fast()).open_store(&name(), &schema()).await.expect_err("it is a file");
    assert!(matches!(refused, OpenError::Place { .. }), "{refused:?}");
    assert!(refused.to_string().contains("a-file"), "{refused}");
    fs::create_dir(dir.path().join("bank.db")).expect("a directory in its place");
    let refused =
        Sqlite::new(dir.path(), fast()).open_store(&name(), &schema()).await.expect_err("it is a directory");
    assert!(matches!(refused, OpenError::Place { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_migration_that_could_undo_others_is_refused() {
    let rules = [
        "CREATE TABLE t (a INTEGER UNIQUE ON CONFLICT ROLLBACK)",
        "CREATE TABLE t (a INTEGER); CREATE TRIGGER x BEFORE INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
        "CREATE TABLE t (a INTEGER); COMMIT; CREATE TABLE u (a INTEGER)",
        "PRAGMA synchronous = OFF",
        "ATTACH 'other.db' AS other",
        "SAVEPOINT mine",
    ];
    for sql in rules {
        let dir = tempfile::tempdir().expect("a directory");
        let schema =
            Schema { migrations: vec![divisi_store::Migration::new(1, "bad", sql)], ..Schema::default() };
        let refused = Sqlite::new(dir.path(), fast()).open_store(&name(), &schema).await.expect_err(sql);
        assert!(matches!(refused, OpenError::Migration { version: 1, .. }), "{sql}: {refused:?}");
        let good = Schema {
            migrations: vec![divisi_store::Migration::new(1, "good", "CREATE TABLE t (a INTEGER)")],
            ..Schema::default()
        };
        let opened = Sqlite::new(dir.path(), fast()).open_store(&name(), &good).await;
        assert!(opened.is_ok(), "nothing was left of `{sql}`: {:?}", opened.err());
    }
}

#[tokio::test]
async fn a_projection_has_a_file_of_its_own_that_can_be_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let sqlite = Sqlite::new(dir.path(), fast());
    let projection = StoreName::projection("bank", "statement", 2);
    let store = sqlite.open(&projection, &Schema::default()).await.expect("it opens");
    assert!(dir.path().join("bank.statement.v2.db").exists());
    assert!(matches!(sqlite.remove(&projection).await, Err(OpenError::InUse { .. })), "not while it is used");
    store.close().await;
    sqlite.remove(&projection).await.expect("it is removed");
    sqlite.remove(&projection).await.expect("it is gone already");
    let left = fs::read_dir(dir.path()).expect("the directory").count();
    assert_eq!(left, 0, "nothing is left of it");
}

async fn epochs(store: &Store) -> (Vec<Epoch>, Vec<(Epoch, Lane, Pos)>) {
    let epochs = store.backend().page(everything()).await.expect("a page").epochs;
    let forks = epochs.forks.iter().map(|fork| (fork.epoch, fork.lane, fork.fork)).collect();
    (epochs.known, forks)
}

#[tokio::test]
async fn an_older_copy_put_back_begins_an_epoch_that_forks_where_the_copy_ended() {
    let Fixture { store, dir, .. } = fixture(fast()).await;
    let (_, old) = deposit(&store, "a", 1).await.expect("it commits");
    store.close().await;
    let (file, copy) = (dir.path().join("bank.db"), dir.path().join("copy"));
    fs::copy(&file, &copy).expect("a copy");

    let (store, _) = open(&dir, fast()).await;
    let (_, lost) = deposit(&store, "a", 1).await.expect("it commits");
    let (lost_epochs, _) = epochs(&store).await;
    store.close().await;
    fs::copy(&copy, &file).expect("the copy is put back");

    let (store, _) = open(&dir, fast()).await;
    let (_, again) = deposit(&store, "a", 10).await.expect("it commits");
    assert_eq!(again[0].pos, lost[0].pos, "the position is used again");
    assert_ne!(again[0].epoch, lost[0].epoch, "in an epoch of its own");
    let (known, forks) = epochs(&store).await;
    assert_eq!(known, [old[0].epoch, again[0].epoch]);
    assert_eq!(lost_epochs, [old[0].epoch, lost[0].epoch]);
    assert!(forks.contains(&(again[0].epoch, old[0].lane, Pos(1))), "{forks:?}");
    let idle = Lane((old[0].lane.0 + 1) % 64);
    assert!(forks.contains(&(again[0].epoch, idle, Pos(0))), "a reader ahead of an empty lane must see that");
    assert_eq!(whole_log(&store).await.len(), 2);
    store.close().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_once_the_file_was_removed_or_replaced() {
    for replaced in [false, true] {
        let Fixture { store, dir, .. } = fixture(fast()).await;
        deposit(&store, "a", 1).await.expect("it commits");
        let (file, aside) = (dir.path().join("bank.db"), dir.path().join("aside"));
        fs::rename(&file, &aside).expect("it is moved away");
        if replaced {
            fs::copy(&aside, &file).expect("another file in its place");
        }
        let refused = deposit(&store, "a", 1).await.expect_err("who starts again would not find it");
        assert!(!refused.may_have_run() && refused.to_string().contains("removed or replaced"), "{refused}");
        assert_eq!(file.exists(), replaced, "and no empty one is made");
        fs::rename(&aside, &file).expect("it is put back");
        deposit(&store, "a", 1).await.expect("the store goes on");
        assert_eq!(balances(&store).await.get("a"), Some(&2));
        store.close().await;
    }
}
