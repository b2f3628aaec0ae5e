//! What the tests share: an event, a schema, a store in a directory of its own.

use std::borrow::Cow;
use std::sync::Arc;

use divisi_contract::event::EventSpec;
use divisi_contract::{CallError, Event};
use divisi_sqlite::{Options, Sqlite, SqliteStore};
use divisi_store::{Migration, Schema, Store, StoreName, Tx, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Moved {
    pub(crate) account: String,
    pub(crate) n: i64,
}

impl Event for Moved {
    const NAME: &'static str = "Moved";
    const TOPIC: &'static str = "accounts";
    const VERSION: u32 = 1;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }

    fn spec() -> EventSpec {
        EventSpec {
            name: Self::NAME.to_owned(),
            topic: Self::TOPIC.to_owned(),
            version: Self::VERSION,
            key: "account".to_owned(),
            docs: String::new(),
            schema: serde_json::Value::Null,
        }
    }
}

pub(crate) const TABLES: &str = "
    CREATE TABLE account (id TEXT PRIMARY KEY, n INTEGER NOT NULL CHECK (n >= 0)) STRICT;
    CREATE TABLE owner (id INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE card (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owner (id) DEFERRABLE INITIALLY DEFERRED) STRICT;
    CREATE TABLE blob (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;";

pub(crate) fn schema() -> Schema {
    Schema {
        migrations: vec![Migration::new(1, "tables", TABLES)],
        topics: vec![Moved::TOPIC],
        readers: vec![(Arc::from("reader"), Moved::TOPIC)],
    }
}

pub(crate) fn name() -> StoreName {
    StoreName::of("bank")
}

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) backend: Arc<SqliteStore>,
}

pub(crate) async fn fixture(options: Options) -> Fixture {
    let dir = tempfile::tempdir().expect("a directory");
    let sqlite = Sqlite::new(dir.path(), options);
    let (store, backend) =
        sqlite.open_store(&name(), &schema()).await.expect("a store opens in a new directory");
    Fixture { dir, store, backend }
}

pub(crate) async fn add(tx: &mut Tx, account: &str, n: i64) -> Result<i64, CallError> {
    let sql =
        "INSERT INTO account (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = n + $2 RETURNING n";
    let (n,): (i64,) = tx.query_one(sql, params![account, n]).await?;
    tx.emit(Moved { account: account.to_owned(), n });
    Ok(n)
}
