//! What the tests share: a store in a directory of its own, and how to make a group whose members are known.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use divisi_sqlite::{Options, Sqlite, SqliteStore, Synchronous};
use divisi_store::conformance::account::{self, TABLES};
use divisi_store::{Migration, Schema, Store, StoreName};
use rusqlite::Connection;
use tempfile::TempDir;

/// Beside the accounts of the suite: a deferred key, and rows that take room.
const MORE: Migration = Migration::new(
    2,
    "more",
    "CREATE TABLE owner (id INTEGER PRIMARY KEY) STRICT;
     CREATE TABLE card (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owner (id) DEFERRABLE INITIALLY DEFERRED) STRICT;
     CREATE TABLE body (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
);

pub(crate) fn schema() -> Schema {
    Schema { migrations: vec![TABLES, MORE], ..account::schema() }
}

pub(crate) fn name() -> StoreName {
    StoreName::of("bank")
}

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) backend: Arc<SqliteStore>,
}

/// Full sync is what the promises are about; a test that counts does not need the disk.
pub(crate) fn fast() -> Options {
    Options { synchronous: Synchronous::Off, ..Options::default() }
}

pub(crate) async fn fixture(options: Options) -> Fixture {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, backend) = open(&dir, options).await;
    Fixture { dir, store, backend }
}

pub(crate) async fn open(dir: &TempDir, options: Options) -> (Store, Arc<SqliteStore>) {
    Sqlite::new(dir.path(), options).open_store(&name(), &schema()).await.expect("a store opens")
}

impl Fixture {
    /// Closes the store and lets SQLite look at every page.
    pub(crate) async fn close_and_check(self) {
        self.store.close().await;
        let connection = Connection::open(self.dir.path().join("bank.db")).expect("the file opens");
        let found: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
        assert_eq!(found, "ok");
    }
}

/// Polls each future once, in order; `None` for those that are not ready. On a runtime of one thread the commit job
/// cannot run in between, so these are one group.
pub(crate) async fn poll_each_once<T>(
    futures: &mut [Pin<Box<dyn Future<Output = T> + Send + '_>>],
) -> Vec<Option<T>> {
    poll_fn(|task| {
        Poll::Ready(
            futures
                .iter_mut()
                .map(|future| match future.as_mut().poll(task) {
                    Poll::Ready(value) => Some(value),
                    Poll::Pending => None,
                })
                .collect(),
        )
    })
    .await
}
