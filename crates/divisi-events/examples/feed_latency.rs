//! How long it takes from a commit to the reader that waits for it: a thousand transactions a second, one event each.
//!
//! `cargo run --release -p divisi-events --example feed_latency`. One reader asks for all lanes, as a consumer does; 63
//! others ask for one lane each. Printed are the times from the acknowledgement of a commit until the reader has it,
//! which may be below zero: the reader is told while the writer is still being told.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use divisi_contract::event::LANES;
use divisi_contract::{Context, Event};
use divisi_events::{Fetch, LaneWanted, Listeners, Log, LogOptions};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::{Class, Epoch, Lane, Pos, Read, Schema, StoreError, StoreName, Stores, Tx};

const EVENTS: usize = 5_000;
const PER_SECOND: u32 = 1_000;

#[divisi_macros::event(topic = "ticks", key = "key", crate = divisi_call)]
struct Ticked {
    key: String,
    n: usize,
}

/// When an event's transaction began, when it was acknowledged, and when the reader had the event.
type Times = Arc<Mutex<Vec<[Option<Instant>; 3]>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let schema = Schema { topics: vec![Ticked::TOPIC], ..Schema::default() };
    let store = Sqlite::new(dir.path(), Options::default()).open(&StoreName::of("clock"), &schema).await?;
    let log =
        Log::new(store.clone(), Listeners::none().allow(Ticked::TOPIC, "reader"), LogOptions::default());
    let (epoch,): (Epoch,) = store
        .read(async |read: &mut Read| read.query_one("SELECT max(epoch) FROM divisi_epoch", &[]).await)
        .await
        .map_err(|error: StoreError| error)?;
    let times: Times = Arc::new(Mutex::new(vec![[None; 3]; EVENTS]));

    let reader = tokio::spawn(read(Arc::clone(&log), (0..LANES).collect(), epoch, Some(Arc::clone(&times))));
    let others: Vec<_> =
        (1..LANES).map(|lane| tokio::spawn(read(Arc::clone(&log), vec![lane], epoch, None))).collect();

    let mut tick = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut writing = tokio::task::JoinSet::new();
    for n in 0..EVENTS {
        tick.tick().await;
        let (store, times) = (store.clone(), Arc::clone(&times));
        writing.spawn(async move {
            note(&times, n, 0);
            let written = store
                .run(Class::Call, async |tx: &mut Tx| {
                    tx.emit(Ticked { key: n.to_string(), n });
                    Ok::<(), StoreError>(())
                })
                .await;
            note(&times, n, 1);
            written.is_ok()
        });
    }
    let written = writing.join_all().await;
    assert!(written.into_iter().all(|written| written), "the store takes events");
    reader.await??;
    others.iter().for_each(tokio::task::JoinHandle::abort);

    let times = times.lock().map_err(|_| "a task panicked")?;
    print("from the acknowledgement to the reader", &times, 1);
    print("from the transaction's begin to the reader", &times, 0);
    Ok(())
}

fn note(times: &Times, n: usize, what: usize) {
    if let Ok(mut times) = times.lock() {
        times[n][what] = Some(Instant::now());
    }
}

async fn read(log: Arc<Log>, lanes: Vec<u16>, epoch: Epoch, times: Option<Times>) -> Result<(), String> {
    let cx = Context::root("reader");
    let mut at = [Pos(0); LANES as usize];
    let mut n_read = 0;
    while n_read < EVENTS {
        let wanted = lanes.iter().map(|lane| {
            let pos = at[usize::from(*lane)];
            LaneWanted { lane: Lane(*lane), epoch, pos, applied: pos }
        });
        let want = Fetch {
            topic: Ticked::TOPIC.into(),
            reader: "reader".into(),
            lanes: wanted.collect(),
            max_records: 512,
            max_bytes: 256 * 1024,
            wait_ms: 5_000,
        };
        let fetched = log.fetch(&cx, want).await.map_err(|error| error.to_string())?;
        for record in fetched.records {
            at[usize::from(record.lane.0)] = record.pos;
            n_read += 1;
            if let Some(times) = &times {
                let ticked: Ticked = record.decode().map_err(|error| error.to_string())?;
                note(times, ticked.n, 2);
            }
        }
    }
    Ok(())
}

fn print(what: &str, times: &[[Option<Instant>; 3]], since: usize) {
    let mut micros: Vec<i128> = times
        .iter()
        .filter_map(|times| Some((times[since]?, times[2]?)))
        .map(|(from, to)| match to.checked_duration_since(from) {
            Some(after) => after.as_micros().cast_signed(),
            None => -from.duration_since(to).as_micros().cast_signed(),
        })
        .collect();
    micros.sort_unstable();
    let at = |permille: usize| micros.get(micros.len() * permille / 1_000).copied().unwrap_or_default();
    println!(
        "{what}: p50 {} µs, p99 {} µs, p99.9 {} µs ({} events)",
        at(500),
        at(990),
        at(999),
        micros.len()
    );
}
