//! How soon an event is in its handler, at a thousand events a second.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use divisi::{Context, Store};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::commits::sell;
use super::place::{Between, Services};
use super::sale::{Hear, SHELVES, Sold};
use crate::load::{histogram, micros};
use crate::report::{Aim, Report};

const ROUNDS: usize = 5;
const WARM_UP: u64 = 300;
const EVENTS: u64 = 2_000;
const EVERY: Duration = Duration::from_millis(1);
/// What all but one event in a hundred should take, in milliseconds.
const P99_MS: f64 = 5.0;

/// How long the events of a round took, in milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Found {
    /// From the writer's acknowledgement to the handler.
    pub(crate) arrival_p50: Vec<f64>,
    pub(crate) arrival_p99: Vec<f64>,
    /// From before `transact` to the handler.
    whole_p50: Vec<f64>,
    pub(crate) whole_p99: Vec<f64>,
    /// From before `transact` to its acknowledgement.
    commit_p50: Vec<f64>,
    commit_p99: Vec<f64>,
}

/// One event, in nanoseconds of the handler's clock.
pub(crate) struct Announced {
    n: u64,
    begun: u64,
    committed: u64,
}

/// Measures it in process and over TCP, in turn.
pub(super) fn measure(runtime: &Runtime, report: &mut Report) -> anyhow::Result<()> {
    report.condition(format!(
        "arrival: a transaction with one event each {EVERY:?} whatever the last one does; from when its writer knows that it is committed until \
         the handler runs, zero where the handler was sooner; {ROUNDS} rounds in turn of {EVENTS} events"
    ));
    let mut places = Vec::new();
    for (name, between) in [("in process", Between::Process), ("over TCP", Between::Tcp)] {
        let hear = Hear::new((ROUNDS as u64) * (WARM_UP + EVENTS));
        let services = Services::open(runtime, between, hear.clone())?;
        let listening = services.listen(runtime);
        places.push((name, hear, services, listening, Found::default()));
    }
    for round in 0..ROUNDS as u64 {
        for (_, hear, services, listening, found) in &mut places {
            let first = round * (WARM_UP + EVENTS);
            runtime.block_on(announce(&services.shop.store, hear, first, WARM_UP))?;
            let announced =
                runtime.block_on(announce(&services.shop.store, hear, first + WARM_UP, EVENTS))?;
            runtime.block_on(listening.until((first + WARM_UP + EVENTS) as i64))?;
            found.push(&announced, hear)?;
        }
    }
    for (name, _, _, listening, found) in places {
        runtime.block_on(listening.stop())?;
        report.figure(format!("arrival {name}, p50"), "ms", &found.arrival_p50);
        report.figure(format!("arrival {name}, with its commit, p50"), "ms", &found.whole_p50);
        report.figure(format!("arrival {name}, with its commit, p99"), "ms", &found.whole_p99);
        report.figure(format!("arrival {name}, the commit alone, p50"), "ms", &found.commit_p50);
        report.figure(format!("arrival {name}, the commit alone, p99"), "ms", &found.commit_p99);
        report.judge(format!("arrival {name}, p99"), "ms", &found.arrival_p99, Aim::AtMost(P99_MS));
    }
    Ok(())
}

impl Found {
    pub(crate) fn push(&mut self, announced: &[Announced], hear: &Hear) -> anyhow::Result<()> {
        let (mut arrival, mut whole, mut commit) = (histogram()?, histogram()?, histogram()?);
        for Announced { n, begun, committed } in announced {
            let heard = hear.heard(*n).context("an event took effect without its handler")?;
            arrival.saturating_record(heard.saturating_sub(*committed));
            whole.saturating_record(heard - begun);
            commit.saturating_record(committed - begun);
        }
        let millis = |times, quantile| micros(times, quantile) / 1_000.0;
        self.arrival_p50.push(millis(&arrival, 0.5));
        self.arrival_p99.push(millis(&arrival, 0.99));
        self.whole_p50.push(millis(&whole, 0.5));
        self.whole_p99.push(millis(&whole, 0.99));
        self.commit_p50.push(millis(&commit, 0.5));
        self.commit_p99.push(millis(&commit, 0.99));
        Ok(())
    }
}

/// Announces so many events from `first` on, at the pace.
pub(crate) async fn announce(
    shop: &Store,
    hear: &Hear,
    first: u64,
    events: u64,
) -> anyhow::Result<Vec<Announced>> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut selling = JoinSet::new();
    for n in first..first + events {
        ticks.tick().await;
        let (store, hear) = (shop.clone(), hear.clone());
        let begun = hear.now();
        selling.spawn(async move {
            let sold = sell(&store, &Context::root("bench"), Sold::new(n * 7 % SHELVES, n)).await;
            sold.map(|()| Announced { n, begun, committed: hear.now() }).map_err(|error| anyhow!("{error:?}"))
        });
    }
    let mut announced = Vec::new();
    while let Some(sold) = selling.join_next().await {
        announced.push(sold.context("a transaction panicked")??);
    }
    Ok(announced)
}
