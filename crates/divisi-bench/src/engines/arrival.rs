//! How soon an event is in its handler, at a thousand events a second.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::place::{By, Place, Servers};
use crate::events::arrival::{Found, announce};
use crate::events::sale::Hear;
use crate::report::{Aim, Report};

const ROUNDS: u64 = 5;
/// Lanes follow a carrier when it has led for a while, five seconds at the least; and a broker that has just started compiles
/// itself at the cost of those beside it, for a minute of this.
fn settling(by: By) -> u64 {
    match by {
        By::Log | By::Nats => 9_000,
        By::Kafka => 60_000,
    }
}

const WARM_UP: u64 = 300;
const EVENTS: u64 = 2_000;

/// What all but one event in a hundred should take, in milliseconds.
fn aim(by: By) -> f64 {
    match by {
        By::Log | By::Nats => 10.0,
        By::Kafka => 15.0,
    }
}

/// Measures all three in turn.
pub(super) fn measure(runtime: &Runtime, servers: &Servers, report: &mut Report) -> anyhow::Result<()> {
    report.condition(format!(
        "arrival: a transaction with one event each millisecond whatever the last one does; from when its writer knows that it is committed \
         until the handler runs, zero where the handler was sooner; {ROUNDS} rounds in turn of {EVENTS} events, after {} for lanes to \
         follow their carrier, {} for Kafka to have compiled itself",
        settling(By::Nats),
        settling(By::Kafka)
    ));
    let mut places = Vec::new();
    for by in By::ALL {
        let hear = Hear::new(settling(by) + ROUNDS * (WARM_UP + EVENTS));
        let place = Place::open(runtime, servers, by, "arrival", hear.clone())?;
        let listening = place.listen(runtime);
        runtime.block_on(announce(&place.shop, &hear, 0, settling(by)))?;
        runtime.block_on(listening.until(settling(by) as i64))?;
        places.push((by, hear, place, listening, Found::default(), Vec::new()));
    }
    for round in 0..ROUNDS {
        for (by, hear, place, listening, found, carried) in &mut places {
            let first = settling(*by) + round * (WARM_UP + EVENTS);
            runtime.block_on(announce(&place.shop, hear, first, WARM_UP))?;
            let announced = runtime.block_on(announce(&place.shop, hear, first + WARM_UP, EVENTS))?;
            runtime.block_on(listening.until((first + WARM_UP + EVENTS) as i64))?;
            found.push(&announced, hear)?;
            if *by != By::Log {
                carried.push(100.0 * listening.on_carrier());
            }
            // A burst of commits that are late must not be the next one's.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    for (by, _, _place, listening, found, carried) in places {
        let name = by.name();
        runtime.block_on(listening.stop())?;
        report.figure(format!("arrival by {name}, p50"), "ms", &found.arrival_p50);
        report.figure(format!("arrival by {name}, with its commit, p99"), "ms", &found.whole_p99);
        if by != By::Log {
            report.figure(format!("arrival by {name}, lanes on the carrier"), "%", &carried);
        }
        report.judge(format!("arrival by {name}, p99"), "ms", &found.arrival_p99, Aim::AtMost(aim(by)));
    }
    Ok(())
}
