//! How much faster transactions are that commit together: `cargo run --release --example group_speed`.
//!
//! One transaction is one UPDATE and one event of 300 bytes. The control does the same statements with `BEGIN
//! IMMEDIATE … COMMIT` each, under a mutex, with the same settings in the same directory.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use divisi_contract::event::{EventSpec, lane_of};
use divisi_contract::{CallError, Context, Event};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::{Migration, Schema, Store, StoreName, Tx, params};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const TABLE: &str = "CREATE TABLE account (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)";

#[derive(Serialize, Deserialize, JsonSchema)]
struct Moved {
    account: String,
    text: String,
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
            schema: schemars::schema_for!(Moved).into(),
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = match std::env::args().nth(1) {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let schema = Schema {
        migrations: vec![Migration::new(1, "accounts", TABLE)],
        topics: vec![Moved::TOPIC],
        readers: Vec::new(),
        ..Schema::default()
    };
    let sqlite = Sqlite::new(dir.path(), Options::default());
    let (store, backend) = sqlite.open_store(&StoreName::of("grouped"), &schema).await?;
    let plain = Arc::new(Mutex::new(plain(&dir.path().join("plain.db"))?));
    println!("writers   plain/s   grouped/s   ratio   in a group   p50 plain   p50 grouped");
    for writers in [1, 8, 64, 256] {
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        let before = backend.stats();
        for _ in 0..ROUNDS {
            let connection = Arc::clone(&plain);
            alone.push(measure(writers, move |id| write_alone(Arc::clone(&connection), id)).await);
            let store = store.clone();
            together.push(measure(writers, move |id| write_grouped(store.clone(), id)).await);
        }
        let after = backend.stats();
        let size = (after.members - before.members) as f64 / (after.commits - before.commits).max(1) as f64;
        let ((alone, p50_alone), (together, p50_together)) = (median(alone), median(together));
        println!(
            "{writers:7} {alone:9.0} {together:11.0} {:7.2} {size:12.1} {p50_alone:11.1?} {p50_together:13.1?}",
            together / alone
        );
    }
    store.close().await;
    Ok(())
}

fn plain(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(TABLE)?;
    connection.execute_batch(include_str!("../migrations/0001_divisi.sql"))?;
    Ok(connection)
}

async fn write_alone(connection: Arc<Mutex<Connection>>, id: i64) {
    let connection = connection.lock().await;
    // A sync does not belong on an async thread, here no more than in the store.
    let done = tokio::task::block_in_place(|| -> rusqlite::Result<()> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        connection
            .prepare_cached(
                "INSERT INTO account (id, n) VALUES (?1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1",
            )?
            .execute([id])?;
        let key = id.to_string();
        let lane = lane_of(&key, 64);
        let pos: i64 = connection
            .prepare_cached(
                "SELECT coalesce(max(pos), 0) + 1 FROM divisi_outbox WHERE topic = ?1 AND lane = ?2",
            )?
            .query_row(("accounts", lane), |row| row.get(0))?;
        connection
            .prepare_cached(
                "INSERT INTO divisi_outbox (topic, lane, pos, epoch, type, key, headers, payload, at) VALUES (?1, ?2, ?3, 1, 'Moved', ?4, '{}', ?5, 0)",
            )?
            .execute(("accounts", lane, pos, key, vec![b'x'; 300]))?;
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    });
    done.expect("a plain transaction");
}

async fn write_grouped(store: Store, id: i64) {
    let done: Result<(), CallError> = store
        .transact(&Context::root("speed"), async |tx: &mut Tx| {
            let sql = "INSERT INTO account (id, n) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1";
            tx.execute(sql, params![id]).await?;
            tx.emit(Moved { account: id.to_string(), text: "x".repeat(270) });
            Ok(())
        })
        .await;
    done.expect("a grouped transaction");
}

/// Transactions a second, and the median time of one.
async fn measure<F, W>(writers: usize, write: W) -> (f64, Duration)
where
    W: Fn(i64) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let write = Arc::new(write);
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for writer in 0..writers as i64 {
        let (stop, done, write) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&write));
        tasks.spawn(async move {
            let mut took = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                write(writer * 1_000 + fastrand::i64(0..1_000)).await;
                took.push(began.elapsed());
                done.fetch_add(1, Ordering::Relaxed);
            }
            took
        });
    }
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    let rate = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let mut took: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    (rate, took.get(took.len() / 2).copied().unwrap_or_default())
}

fn median(mut rounds: Vec<(f64, Duration)>) -> (f64, Duration) {
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    rounds[rounds.len() / 2]
}
