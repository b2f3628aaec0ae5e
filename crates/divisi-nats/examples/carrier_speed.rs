//! How many records a second go into a NATS server and out of it: `cargo run --release --example carrier_speed`.
//!
//! One run a lane, sixteen records each, 64 lanes at a time, as a relay that fills a carrier does; then one
//! subscription reads all of it.

use std::sync::Arc;
use std::time::Instant;

use divisi_events::carrier::{Arrivals, Carried, Carrier, Hint};
use divisi_nats::{Nats, Options};
use divisi_servers::Nats as Server;
use divisi_store::{Epoch, Lane, Pos, Record, Timestamp};
use futures_util::future::join_all;

const LANES: u16 = 64;
const RUN: i64 = 16;
const RUNS: i64 = 20;
const TOPIC: &str = "speed";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::launch().await?;
    let carrier = Nats::connect(Options::new("bench", [server.url()])).await?;
    let n_records = i64::from(LANES) * RUN * RUNS;

    let began = Instant::now();
    let mut first = None;
    for n in 0..RUNS {
        let published = join_all((0..LANES).map(|lane| publish(&carrier, Lane(lane), n * RUN))).await;
        first = first.or_else(|| published.into_iter().next());
    }
    rate("published", n_records, began);

    let began = Instant::now();
    let hint = first.ok_or("nothing was published")??;
    let (before, _) = hint.0.rsplit_once(':').ok_or("a hint has an offset")?;
    let start = Hint(format!("{before}:0").into());
    let from = (0..LANES).map(|lane| (Lane(lane), Some(start.clone()))).collect();
    let mut arrivals = carrier.read(&"bench".into(), TOPIC, from).await?;
    read(&mut *arrivals, n_records).await?;
    rate("read", n_records, began);
    Ok(())
}

async fn publish(carrier: &Nats, lane: Lane, behind: i64) -> Result<Hint, Box<dyn std::error::Error>> {
    let records: Vec<_> = (behind + 1..=behind + RUN).map(|pos| record(lane, pos)).collect();
    let outcomes = carrier.publish(&"bench".into(), TOPIC, lane, &records, Some(1)).await;
    let hints: Vec<Hint> = outcomes.into_iter().collect::<Result<_, _>>()?;
    hints.into_iter().next().ok_or_else(|| "no outcome".into())
}

async fn read(arrivals: &mut dyn Arrivals, n_records: i64) -> Result<(), Box<dyn std::error::Error>> {
    let mut n_read = 0;
    while n_read < n_records {
        if let Carried::Record(..) = arrivals.next().await.ok_or("the subscription is over")?? {
            n_read += 1;
        }
    }
    Ok(())
}

fn record(lane: Lane, pos: i64) -> Arc<Record> {
    Arc::new(Record {
        source: "bench".into(),
        topic: TOPIC.into(),
        lane,
        epoch: Epoch(1_700_000_000_000_000),
        pos: Pos(pos),
        kind: "Counted".into(),
        schema_v: 1,
        key: format!("key-{lane}").into(),
        headers: r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#.into(),
        payload: vec![b'7'; 200].into(),
        at: Timestamp(1_700_000_000_000_000 + pos),
    })
}

fn rate(what: &str, n_records: i64, began: Instant) {
    let micros = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX).max(1);
    println!(
        "{what} {n_records} records in {} ms: {} a second",
        micros / 1_000,
        n_records * 1_000_000 / micros
    );
}
