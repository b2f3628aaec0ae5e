//! Transactions a second with one event each, beside one plain SQLite commit each under a mutex.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use divisi::{Answer, Context, Store, Tx, params};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::place::Open;
use super::plain::Plain;
use super::sale::{self, SELL, SHELVES, Sold};
use crate::load::{Load, Peer, load};
use crate::report::{Aim, Report};

/// How many write at once, and how many times a plain commit each it should be.
const WRITERS: [(usize, f64); 4] = [(1, 0.95), (8, 4.0), (64, 7.0), (256, 9.0)];
/// What 64 writers should come to when a sync takes 3 ms.
const SLOWED_64: f64 = 30.0;

/// How many write before anything is measured.
const GROWING: usize = 64;

/// How long a round is, and what comes before it: long enough for each of 256 plain writers to have had its turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    pub(super) rounds: usize,
    warm_up: Duration,
    span: Duration,
}

impl Spans {
    pub(super) fn of(disk: Disk) -> Spans {
        let millis = Duration::from_millis;
        match disk {
            Disk::AsItIs => Spans { rounds: 5, warm_up: millis(200), span: millis(1_000) },
            Disk::Slowed => Spans { rounds: 3, warm_up: millis(900), span: millis(1_800) },
        }
    }
}

/// Whether syncs take as long as the disk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    AsItIs,
    Slowed,
}

/// What was found with so many writers, a value a round.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    writers: usize,
    divisi: Vec<Load>,
    plain: Vec<Load>,
    /// Transactions that shared a sync.
    shared: Vec<f64>,
}

/// Measures both in turn, in files of their own in directories of one file system.
pub(super) fn measure(runtime: &Runtime, disk: Disk) -> anyhow::Result<Vec<Measured>> {
    let open = runtime.block_on(Open::new("shop", &sale::shop()))?;
    let plain =
        Plain::create(&open.dir.path().join("plain.db"), &open.dir.path().join("shop.db"), &sale::SHOP)?;
    let plain = Arc::new(Mutex::new(plain));
    let spans = Spans::of(disk);
    let ours = |n: usize| Grouped { store: open.store.clone(), cx: Context::root("bench"), shelf: n as u64 };
    let theirs = |n: usize| Single { file: Arc::clone(&plain), shelf: n as u64 };
    // A write-ahead log that still grows has its length synced too. Divisi's is longer, so that took a lone writer's first seconds.
    one(runtime, spans, (0..GROWING).map(ours).collect())?;
    one(runtime, spans, (0..GROWING).map(theirs).collect())?;
    let mut all = Vec::new();
    for (writers, _) in WRITERS {
        let mut measured = Measured { writers, divisi: Vec::new(), plain: Vec::new(), shared: Vec::new() };
        for _ in 0..spans.rounds {
            let before = open.file.stats();
            measured.divisi.push(one(runtime, spans, (0..writers).map(ours).collect())?);
            let after = open.file.stats();
            measured
                .shared
                .push((after.members - before.members) as f64 / (after.commits - before.commits) as f64);
            measured.plain.push(one(runtime, spans, (0..writers).map(theirs).collect())?);
        }
        all.push(measured);
    }
    runtime.block_on(open.store.close());
    Ok(all)
}

/// Writes down what was found.
pub(super) fn report(all: &[Measured], disk: Disk, report: &mut Report) {
    let Spans { rounds, warm_up, span } = Spans::of(disk);
    let (name, how) = match disk {
        Disk::AsItIs => ("commits", "as fast as the disk is"),
        Disk::Slowed => ("commits, slow syncs", "at least 3 ms each, by a preloaded library"),
    };
    report.condition(format!(
        "{name}: an UPDATE and an event of some 300 bytes a transaction; syncs {how}; {rounds} rounds in turn of {span:?} after {warm_up:?}, in files \
         that have been written until their write-ahead logs grow no more"
    ));
    for Measured { writers, divisi, plain, shared } in all {
        let of = |loads: &[Load], what: fn(&Load) -> f64| -> Vec<f64> { loads.iter().map(what).collect() };
        for (who, loads) in [("divisi", divisi), ("plain", plain)] {
            report.figure(format!("{name}, {writers} writers, {who}"), "tx/s", &of(loads, |load| load.rate));
            report.figure(
                format!("{name}, {writers} writers, {who}, p50"),
                "µs",
                &of(loads, |load| load.p50),
            );
            report.figure(
                format!("{name}, {writers} writers, {who}, p99"),
                "µs",
                &of(loads, |load| load.p99),
            );
        }
        report.figure(format!("{name}, {writers} writers, divisi"), "tx a sync", shared);
        let least = match (disk, WRITERS.iter().find(|(n, _)| n == writers)) {
            (Disk::Slowed, _) if *writers == 64 => SLOWED_64,
            (_, Some(&(_, least))) => least,
            (_, None) => continue,
        };
        let (ours, theirs) = (of(divisi, |load| load.rate), of(plain, |load| load.rate));
        report.ratio(format!("{name} ÷ plain, {writers} writers"), &ours, &theirs, Aim::AtLeast(least));
    }
}

fn one<P: Peer>(runtime: &Runtime, spans: Spans, writers: Vec<P>) -> anyhow::Result<Load> {
    runtime.block_on(async { tokio::spawn(load(writers, spans.warm_up, spans.span)).await? })
}

/// A writer through `transact`.
#[derive(Clone)]
struct Grouped {
    store: Store,
    cx: Context,
    shelf: u64,
}

impl Peer for Grouped {
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.shelf = (self.shelf + 1) % SHELVES;
        let shelf = self.shelf;
        sell(&self.store, &self.cx, Sold::new(shelf, 0)).await.map_err(|error| anyhow!("{error:?}"))
    }
}

/// One sale: a row and an event.
pub(crate) async fn sell(store: &Store, cx: &Context, sold: Sold) -> Answer<()> {
    store
        .transact(cx, async move |tx: &mut Tx| {
            tx.execute(SELL, params![sold.shelf as i64]).await?;
            tx.emit(sold);
            Ok(())
        })
        .await
}

/// A writer with a commit of its own.
#[derive(Clone)]
struct Single {
    file: Arc<Mutex<Plain>>,
    shelf: u64,
}

impl Peer for Single {
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.shelf = (self.shelf + 1) % SHELVES;
        // The others' turn first: nothing here waits in a way that the runtime sees.
        tokio::task::yield_now().await;
        self.file.lock().unwrap_or_else(PoisonError::into_inner).sell(&Sold::new(self.shelf, 0))
    }
}
