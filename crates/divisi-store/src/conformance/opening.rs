//! What is promised when a store is opened, and when it has been closed.

use divisi_contract::event::LANES;
use divisi_contract::{CauseKind, Event};

use super::account::{Moved, TABLES, balances, deposit, is_consistent, open, schema};
use crate::backend::{StoreName, Stores};
use crate::error::OpenError;
use crate::migration::{Migration, Schema};
use crate::transaction::Read;
use crate::{StoreError, params};

const SECOND: Migration = Migration::new(2, "notes", "CREATE TABLE note (id BIGINT PRIMARY KEY)");

fn with(migrations: Vec<Migration>) -> Schema {
    Schema { migrations, ..schema() }
}

/// A migration that was applied keeps its text; new ones are added behind it, and what is in the tables stays.
pub async fn migrations_never_change(stores: &dyn Stores) {
    let name = StoreName::of("migrations");
    let store = open(stores, "migrations").await;
    deposit(&store, "a", 1).await.expect("it commits");
    store.close().await;
    let changed = Migration { sql: "CREATE TABLE account (id TEXT PRIMARY KEY)", ..TABLES };
    let refused = stores.open(&name, &with(vec![changed])).await.unwrap_err();
    assert!(matches!(refused, OpenError::Changed { version: 1, .. }), "{refused:?}");
    let hole = stores.open(&name, &with(vec![TABLES, Migration { version: 3, ..SECOND }])).await;
    assert!(hole.is_err(), "a hole in the numbers");
    let store = stores.open(&name, &with(vec![TABLES, SECOND])).await.expect("it opens with one more");
    assert_eq!(balances(&store).await.get("a"), Some(&1));
    store.close().await;
}

/// A database that a newer program has brought forward is not touched by an older one.
pub async fn a_newer_database_is_refused(stores: &dyn Stores) {
    let name = StoreName::of("newer");
    stores.open(&name, &with(vec![TABLES, SECOND])).await.expect("it opens").close().await;
    let refused = stores.open(&name, &schema()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused:?}");
}

/// A migration that fails is undone as a whole, and the ones before it stay.
pub async fn a_migration_that_fails_leaves_nothing(stores: &dyn Stores) {
    let name = StoreName::of("failing");
    let failing =
        Migration { sql: "CREATE TABLE note (id BIGINT); CREATE TABLE account (id BIGINT)", ..SECOND };
    let refused = stores.open(&name, &with(vec![TABLES, failing])).await.unwrap_err();
    assert!(matches!(refused, OpenError::Migration { version: 2, .. }), "{refused:?}");
    let store = stores.open(&name, &with(vec![TABLES, SECOND])).await.expect("it opens when it is mended");
    store.close().await;
}

/// Who will read a topic is registered at its beginning, in every lane, before it has ever asked.
pub async fn readers_are_registered_from_the_start(stores: &dyn Stores) {
    let store = open(stores, "readers").await;
    let found: Result<Vec<(i64, i64)>, StoreError> = store
        .read(async |read: &mut Read| {
            let sql = "SELECT epoch, pos FROM divisi_reader WHERE reader = $1 AND topic = $2";
            read.query(sql, params!["auditor", Moved::TOPIC]).await
        })
        .await;
    assert_eq!(found.expect("the readers"), vec![(0, 0); usize::from(LANES)]);
}

/// A closed store refuses in words, may be closed again, and what it has committed is there when it is opened again.
pub async fn a_closed_store_refuses_and_keeps(stores: &dyn Stores) {
    let store = open(stores, "closed").await;
    deposit(&store, "a", 1).await.expect("it commits");
    store.close().await;
    store.close().await;
    let refused = deposit(&store, "a", 1).await.unwrap_err();
    assert_eq!(refused.cause().map(|cause| cause.kind), Some(CauseKind::Store));
    let read: Result<Vec<(i64,)>, StoreError> =
        store.read(async |read: &mut Read| read.query("SELECT balance FROM account", params![]).await).await;
    assert!(read.is_err());
    let again = open(stores, "closed").await;
    assert_eq!(is_consistent(&again).await.get("a"), Some(&1));
    again.close().await;
}
