//! A million events that wait: how fast they are worked off, and in how much memory.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Runtime;

use super::place::{By, Place, Servers};
use crate::events::arrival::announce;
use crate::events::backlog::make;
use crate::events::listening::Listening;
use crate::events::sale::{Hear, SHELVES, Sold};
use crate::report::{Aim, Report};

const EVENTS: u64 = 1_000_000;
/// Events of one transaction while the backlog is made.
const AT_ONCE: u64 = 1_000;
/// Before it is made, so that lanes follow their carrier and know where they left it.
const SETTLING: u64 = 7_000;
const PATIENCE: Duration = Duration::from_secs(600);
/// How much the process may grow meanwhile, in MB.
const GROWTH_MB: f64 = 200.0;

/// Makes and works off a backlog with each, one after the other.
pub(super) fn measure(runtime: &Runtime, servers: &Servers, report: &mut Report) -> anyhow::Result<()> {
    report.condition(format!(
        "backlog: {EVENTS} events, made while the listener is stopped, in transactions of {AT_ONCE}; where there is a carrier, the relay publishes \
         them meanwhile and the listener goes on where it had left the carrier; growth is of the whole process, relay included"
    ));
    for by in By::ALL {
        let hear = Hear::new(SETTLING);
        let place = Place::open(runtime, servers, by, "backlog", hear.clone())?;
        let listening = place.listen(runtime);
        runtime.block_on(announce(&place.shop, &hear, 0, SETTLING))?;
        runtime.block_on(listening.until(SETTLING as i64))?;
        runtime.block_on(listening.stop())?;
        // Beyond the events whose time is noted.
        let event = |n| Sold::new(n % SHELVES, SETTLING + n);
        runtime.block_on(make(&place.shop, (EVENTS, AT_ONCE), event))?;
        let before = resident_mb()?;
        let began = Instant::now();
        let listening = place.listen(runtime);
        let (most, carried) = runtime.block_on(watched(&listening))?;
        let took = began.elapsed();
        let name = by.name();
        report.figure(format!("backlog by {name}"), "events/s", &[EVENTS as f64 / took.as_secs_f64()]);
        if by != By::Log {
            report.figure(format!("backlog by {name}, by the carrier"), "% of looks", &[100.0 * carried]);
            report.figure(
                format!("backlog by {name}, lanes that went to the log"),
                "",
                &[listening.falls() as f64],
            );
        }
        runtime.block_on(listening.stop())?;
        let growth = (most - before).max(0.0);
        report.judge(format!("backlog by {name}, growth of memory"), "MB", &[growth], Aim::AtMost(GROWTH_MB));
    }
    Ok(())
}

/// Waits until all of it has taken effect; the most memory seen, and the share of lanes that followed the carrier.
async fn watched(listening: &Listening) -> anyhow::Result<(f64, f64)> {
    let all = listening.until_within(PATIENCE, (SETTLING + EVENTS) as i64);
    tokio::pin!(all);
    let (mut most, mut carried, mut looks) = (0_f64, 0.0, 0_u32);
    loop {
        tokio::select! {
            done = &mut all => {
                done?;
                return Ok((most, carried / f64::from(looks.max(1))));
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                most = most.max(resident_mb()?);
                carried += listening.on_carrier();
                looks += 1;
            }
        }
    }
}

/// What this process has in memory.
fn resident_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kb: f64 = line.trim().trim_end_matches(" kB").trim().parse().context("a VmRSS that is no number")?;
    Ok(kb / 1_024.0)
}
