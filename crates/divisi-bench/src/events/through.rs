//! Events a second from `transact` through the inbox, beside one thread that writes the same rows.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use divisi::Context;
use divisi::contract::event::{LANES, lane_of};
use divisi::sqlite::Stats;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::commits::sell;
use super::place::{Between, Services};
use super::plain::Plain;
use super::sale::{self, Hear, SHELVES, Sold};
use crate::report::{Aim, Report};

const ROUNDS: usize = 7;
const WRITERS: u64 = 64;
const EVENTS: u64 = WRITERS * 400;

/// How many commits there were, and how many transactions in them.
#[derive(Debug, Clone, Copy)]
struct Batches {
    commits: u64,
    members: u64,
}

/// Measures both in turn.
pub(super) fn measure(runtime: &Runtime, report: &mut Report) -> anyhow::Result<()> {
    report.condition(format!(
        "through: {WRITERS} writers, one event a transaction, {EVENTS} events a round, until the last watermark has moved; beside it one \
         thread that writes the same rows into two files in as many commits, one file after the other; {ROUNDS} rounds in turn"
    ));
    let services = Services::open(runtime, Between::Process, Hear::new(0))?;
    let listening = services.listen(runtime);
    let like = services.shop.dir.path().join("shop.db");
    let mut shop = Plain::create(&services.shop.dir.path().join("plain.db"), &like, &sale::SHOP)?;
    let listener = Plain::create(&services.listener.dir.path().join("plain.db"), &like, &sale::LISTENER)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut shared, mut applied) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS as i64 {
        let before = (services.shop.file.stats(), services.listener.file.stats());
        let start = Instant::now();
        runtime.block_on(announce(&services))?;
        runtime.block_on(listening.until((round + 1) * EVENTS as i64))?;
        let took = start.elapsed();
        let sold = Batches::between(before.0, services.shop.file.stats());
        let heard = Batches::between(before.1, services.listener.file.stats());
        let plain = write(&mut shop, &listener, sold, heard)?;
        // The first round warms up.
        if round > 0 {
            ours.push(EVENTS as f64 / took.as_secs_f64());
            theirs.push(EVENTS as f64 / plain.as_secs_f64());
            shared.push(EVENTS as f64 / sold.commits as f64);
            applied.push(EVENTS as f64 / heard.commits as f64);
        }
    }
    runtime.block_on(listening.stop())?;
    report.figure("through, divisi", "events/s", &ours);
    report.figure("through, one thread that writes the same rows", "events/s", &theirs);
    report.figure("through, in the shop", "events a sync", &shared);
    report.figure("through, in the listener", "events a sync", &applied);
    report.ratio("through ÷ the same rows", &ours, &theirs, Aim::AtLeast(0.8));
    Ok(())
}

async fn announce(services: &Services) -> anyhow::Result<()> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = services.shop.store.clone();
        writers.spawn(async move {
            let cx = Context::root("bench");
            for n in 0..EVENTS / WRITERS {
                let shelf = (n * WRITERS + writer) % SHELVES;
                sell(&store, &cx, Sold::new(shelf, 0)).await.map_err(|error| anyhow!("{error:?}"))?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(())
}

/// Writes the rows of a round into both files, in as many commits as Divisi needed.
fn write(shop: &mut Plain, listener: &Plain, sold: Batches, heard: Batches) -> anyhow::Result<Duration> {
    let events: Vec<Sold> = (0..EVENTS).map(|n| Sold::new(n % SHELVES, 0)).collect();
    let size = |commits: u64| events.len().div_ceil(commits.max(1) as usize);
    let start = Instant::now();
    for batch in events.chunks(size(sold.commits)) {
        shop.begin()?;
        for sold in batch {
            shop.sale(sold)?;
        }
        shop.commit()?;
    }
    let mut pos = 0;
    let watermarks = heard.members.div_ceil(heard.commits.max(1));
    for batch in events.chunks(size(heard.commits)) {
        listener.begin()?;
        for sold in batch {
            listener.hear(sold)?;
        }
        for _ in 0..watermarks {
            pos += 1;
            listener.watermark(lane_of(&pos.to_string(), LANES), pos)?;
        }
        listener.commit()?;
    }
    Ok(start.elapsed())
}

impl Batches {
    fn between(before: Stats, after: Stats) -> Batches {
        Batches { commits: after.commits - before.commits, members: after.members - before.members }
    }
}
