//! How soon an event is in its handler, at a thousand events a second.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use divisi::Context;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::commits::sell;
use super::place::{Between, Services};
use super::sale::{Clock, Hear, SHELVES, Sold};
use crate::load::{histogram, micros};
use crate::report::{Aim, Report};

const ROUNDS: usize = 5;
const WARM_UP: u64 = 300;
const EVENTS: u64 = 2_000;
const EVERY: Duration = Duration::from_millis(1);
/// What all but one event in a hundred should take, in milliseconds.
const P99_MS: f64 = 5.0;

/// Measures it in process and over TCP, in turn.
pub(super) fn measure(runtime: &Runtime, report: &mut Report) -> anyhow::Result<()> {
    report.condition(format!(
        "arrival: a transaction with one event each {EVERY:?} whatever the last one does; from the moment before `transact`, so with its \
         commit, until the handler runs; {ROUNDS} rounds in turn of {EVENTS} events"
    ));
    let ways = [("in process", Between::Process), ("over TCP", Between::Tcp)];
    let mut places = Vec::new();
    for (name, between) in ways {
        let clock = Clock::begin();
        let hear = Hear::new(clock)?;
        let services = Services::open(runtime, between, hear.clone())?;
        let listening = services.listen(runtime);
        places.push((name, clock, hear, services, listening, 0));
    }
    let mut found: Vec<[Vec<f64>; 4]> = vec![Default::default(); places.len()];
    for _ in 0..ROUNDS {
        for ((_, clock, hear, services, listening, announced), found) in places.iter_mut().zip(&mut found) {
            runtime.block_on(announce(services, *clock, WARM_UP))?;
            *announced += (WARM_UP + EVENTS) as i64;
            hear.take()?;
            let committed = runtime.block_on(announce(services, *clock, EVENTS))?;
            runtime.block_on(listening.until(*announced))?;
            let heard = hear.take()?;
            let values = [
                micros(&heard, 0.5),
                micros(&heard, 0.99),
                micros(&committed, 0.5),
                micros(&committed, 0.99),
            ];
            values.into_iter().zip(found).for_each(|(value, rounds)| rounds.push(value / 1_000.0));
        }
    }
    for ((name, _, _, _, listening, _), [p50, p99, commit_p50, commit_p99]) in places.into_iter().zip(found) {
        runtime.block_on(listening.stop())?;
        report.figure(format!("arrival {name}, p50"), "ms", &p50);
        report.figure(format!("arrival {name}, the commit of it, p50"), "ms", &commit_p50);
        report.figure(format!("arrival {name}, the commit of it, p99"), "ms", &commit_p99);
        report.judge(format!("arrival {name}, p99"), "ms", &p99, Aim::AtMost(P99_MS));
    }
    Ok(())
}

/// Announces at the pace; how long each commit took.
async fn announce(
    services: &Services,
    clock: Clock,
    events: u64,
) -> anyhow::Result<hdrhistogram::Histogram<u64>> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut selling = JoinSet::new();
    for n in 0..events {
        ticks.tick().await;
        let (store, begun) = (services.shop.store.clone(), clock.now());
        selling.spawn(async move {
            let sold = sell(&store, &Context::root("bench"), Sold::new(n * 7 % SHELVES, begun)).await;
            sold.map(|()| clock.now() - begun).map_err(|error| anyhow!("{error:?}"))
        });
    }
    let mut took = histogram()?;
    while let Some(sold) = selling.join_next().await {
        took.saturating_record(sold.context("a transaction panicked")??);
    }
    Ok(took)
}
