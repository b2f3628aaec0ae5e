//! What the promises are tried on: accounts with a balance, and an event for each change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divisi_contract::event::{EventSpec, LANES};
use divisi_contract::{CallError, Context, Event};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::{StoreName, Stores};
use crate::migration::{Migration, Schema};
use crate::outbox::PageWanted;
use crate::record::{Lane, Pos, Position, Record};
use crate::store::Store;
use crate::transaction::{Read, Tx};
use crate::{StoreError, params};

/// An account has another balance now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// The account, which is the key.
    pub account: String,
    /// The new balance.
    pub balance: i64,
}

/// The tables.
pub const TABLES: Migration = Migration::new(
    1,
    "accounts",
    "CREATE TABLE account (id TEXT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))",
);

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
            schema: schemars::schema_for!(Moved).into(),
        }
    }
}

/// The shape of the database.
pub fn schema() -> Schema {
    Schema {
        migrations: vec![TABLES],
        topics: vec![Moved::TOPIC],
        readers: vec![(Arc::from("auditor"), Moved::TOPIC)],
        ..Schema::default()
    }
}

/// Opens the database of the service `name`.
pub async fn open(stores: &dyn Stores, name: &str) -> Store {
    stores.open(&StoreName::of(name), &schema()).await.expect("a store opens")
}

/// The context of a test.
pub fn cx() -> Context {
    Context::root("conformance")
}

/// Adds to a balance and announces it; the database refuses what would be below zero.
pub async fn add(tx: &mut Tx, account: &str, amount: i64) -> Result<i64, CallError> {
    let sql = "INSERT INTO account (id, balance) VALUES ($1, $2) \
               ON CONFLICT (id) DO UPDATE SET balance = account.balance + $2 RETURNING balance";
    let (balance,): (i64,) = tx.query_one(sql, params![account, amount]).await?;
    tx.emit(Moved { account: account.to_owned(), balance });
    Ok(balance)
}

/// [`add`] in a transaction of its own.
pub async fn deposit(store: &Store, account: &str, amount: i64) -> Result<(i64, Vec<Position>), CallError> {
    store.transact_at(&cx(), async |tx: &mut Tx| add(tx, account, amount).await).await
}

/// What the table says.
pub async fn balances(store: &Store) -> BTreeMap<String, i64> {
    let rows: Result<Vec<(String, i64)>, StoreError> = store
        .read(async |read: &mut Read| read.query("SELECT id, balance FROM account", params![]).await)
        .await;
    rows.expect("the balances").into_iter().collect()
}

/// All lanes from their beginning, in one page.
pub fn everything() -> PageWanted {
    PageWanted {
        topic: Arc::from(Moved::TOPIC),
        lanes: (0..LANES).map(|lane| (Lane(lane), Pos(0))).collect(),
        max_records: usize::MAX,
        max_bytes: usize::MAX,
    }
}

/// The whole log, in which every lane is looked at for holes.
pub async fn whole_log(store: &Store) -> Vec<Arc<Record>> {
    let page = store.backend().page(everything()).await.expect("a page");
    let mut ends: BTreeMap<Lane, Pos> = BTreeMap::new();
    for record in &page.records {
        let end = ends.entry(record.lane).or_default();
        assert_eq!(record.pos, end.next(), "lane {} has a hole or a repeat", record.lane);
        *end = record.pos;
    }
    for (lane, head) in page.heads {
        assert_eq!(head, ends.get(&lane).copied().unwrap_or_default(), "the head of lane {lane}");
    }
    page.records
}

/// The balances that the log announces, the last of each account.
pub fn announced(log: &[Arc<Record>]) -> BTreeMap<String, i64> {
    log.iter()
        .map(|record| {
            let moved = record.decode::<Moved>().expect("an event of the log can be read");
            (moved.account, moved.balance)
        })
        .collect()
}

/// Table and log say the same. They are two reads, and a group whose members have gone away may be committed between
/// them: the table is compared with a log that was the same before and after it was read. What is numbered behind COMMIT has a few seconds.
pub async fn is_consistent(store: &Store) -> BTreeMap<String, i64> {
    let until = Instant::now() + Duration::from_secs(5);
    let mut before = whole_log(store).await;
    loop {
        let balances = balances(store).await;
        let log = whole_log(store).await;
        if announced(&log) != balances && Instant::now() < until {
            tokio::task::yield_now().await;
        } else if log.len() == before.len() {
            assert_eq!(announced(&log), balances, "the log announces what the table has");
            return balances;
        }
        before = log;
    }
}
