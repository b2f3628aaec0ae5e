//! How fast a consumer works off a log, beside one thread that writes the same rows in the same batches.
//!
//! `cargo run --release -p divisi-events --example consumer_speed [EVENTS]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divisi_contract::Event;
use divisi_contract::event::{LANES, lane_of};
use divisi_events::consumer::Consumer;
use divisi_events::{Failure, Handlers, Listeners, Log, LogOptions};
use divisi_sqlite::{Options, Sqlite, Synchronous};
use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::{
    Class, Epoch, Lane, Migration, Pos, Schema, Store, StoreError, StoreName, Stores, Tx, params,
};

/// Something was measured.
#[divisi_macros::event(topic = "measured", key = "key", crate = divisi_call)]
struct Measured {
    key: String,
    n: i64,
    text: String,
}

const TABLE: Migration = Migration::new(
    1,
    "what was measured",
    "CREATE TABLE effects (id INTEGER PRIMARY KEY, key TEXT NOT NULL, n BIGINT NOT NULL, text TEXT NOT NULL);",
);
const INSERT: &str = "INSERT INTO effects (key, n, text) VALUES ($1, $2, $3)";

async fn apply(tx: &mut Tx, event: &Measured) -> Result<(), Failure> {
    tx.execute(INSERT, params![event.key, event.n, event.text]).await?;
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let n_events = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(50_000);
    for synchronous in [Synchronous::Full, Synchronous::Off] {
        for n_keys in [1, 1_000] {
            let mut ratios: Vec<f64> = Vec::new();
            for _ in 0..3 {
                let consumed = consumed(n_events, n_keys, synchronous).await;
                let plain = plain(n_events, n_keys, synchronous).await;
                let per_second = |span: Duration| n_events as f64 / span.as_secs_f64();
                ratios.push(per_second(consumed) / per_second(plain));
                println!(
                    "{synchronous:?}, {n_keys} keys: consumer {:.0}/s, one thread {:.0}/s",
                    per_second(consumed),
                    per_second(plain)
                );
            }
            ratios.sort_by(f64::total_cmp);
            println!("{synchronous:?}, {n_keys} keys: {:.2} times one thread", ratios[1]);
        }
    }
}

/// How long a consumer takes for a backlog.
async fn consumed(n_events: i64, n_keys: i64, synchronous: Synchronous) -> Duration {
    let dir = tempfile::tempdir().expect("a directory");
    let sqlite = Sqlite::new(dir.path(), Options { synchronous, ..Options::default() });
    let schema = Schema { topics: vec![Measured::TOPIC], ..Schema::default() };
    let shop = sqlite.open(&StoreName::of("source"), &schema).await.expect("a store");
    let mut ends = BTreeMap::new();
    for from in (0..n_events).step_by(500) {
        let page = shop.run(Class::Call, async |tx: &mut Tx| {
            (from..n_events.min(from + 500)).for_each(|n| tx.emit(measured(n, n_keys)));
            Ok::<(), StoreError>(())
        });
        ends.extend(page.await.expect("it is written").1.into_iter().map(|at| (at.lane, at)));
    }
    let log = Log::new(shop, Listeners::none().allow(Measured::TOPIC, "sink"), LogOptions::default());
    let sink = open_sink(&sqlite).await;
    let consumer = Consumer::new("sink", sink, Handlers::new().react::<Measured, _>(apply)).from(
        "source",
        Measured::TOPIC,
        Arc::clone(&log) as _,
    );
    let observer = consumer.observe();
    let ends: Vec<_> = ends.into_values().collect();
    let began = Instant::now();
    consumer.run(async move { observer.reached(&ends).await }).await;
    began.elapsed()
}

/// How long one thread takes for the same rows, lane after lane, in batches of a consumer's size.
async fn plain(n_events: i64, n_keys: i64, synchronous: Synchronous) -> Duration {
    let dir = tempfile::tempdir().expect("a directory");
    let sink = open_sink(&Sqlite::new(dir.path(), Options { synchronous, ..Options::default() })).await;
    let inbox = Inbox { consumer: "sink".into(), source: "source".into(), topic: Measured::TOPIC.into() };
    let declare = sink.run(Class::Consumer, async |tx: &mut Tx| inbox.declare(tx, LANES).await);
    declare.await.expect("watermarks");
    // A page of the log holds eight records of each lane that has more, or all of one.
    let batch = if n_keys == 1 { 100 } else { 8 };
    let mut lanes = vec![Vec::new(); usize::from(LANES)];
    let mut batches = Vec::new();
    for n in 0..n_events {
        let event = measured(n, n_keys);
        let lane = lane_of(&event.key, LANES);
        let events: &mut Vec<(String, i64, String)> = &mut lanes[usize::from(lane)];
        events.push((event.key, event.n, event.text));
        if events.len() == batch {
            batches.push((lane, std::mem::take(events)));
        }
    }
    let began = Instant::now();
    for (pos, (lane, events)) in (1..).zip(&batches) {
        let written = sink.run(Class::Consumer, async |tx: &mut Tx| {
            for (key, n, text) in events {
                tx.execute(INSERT, params![key, n, text]).await?;
            }
            let to = Watermark { epoch: Epoch(1), pos: Pos(pos) };
            inbox.advance(tx, Lane(*lane), to, None).await
        });
        written.await.expect("it is written");
    }
    began.elapsed()
}

async fn open_sink(sqlite: &Sqlite) -> Store {
    let schema = Schema { migrations: vec![TABLE], ..Schema::default() };
    sqlite.open(&StoreName::of("sink"), &schema).await.expect("a store")
}

fn measured(n: i64, n_keys: i64) -> Measured {
    Measured { key: format!("key-{}", n % n_keys), n, text: "x".repeat(200) }
}
