//! PostgreSQL with the log, + NATS, + Kafka, beside the same engines used by hand: how soon an event arrives, how many do,
//! what a transaction costs, and a million of them at once.

mod arrival;
mod backlog;
mod by_hand;
mod place;
mod saturation;
mod transactions;

use anyhow::bail;

use crate::report::Report;
use crate::runtime::{WORKERS, runtime};
use place::Servers;

/// What can be measured alone.
const PARTS: [&str; 4] = ["arrival", "saturation", "transactions", "backlog"];

/// Measures all of it, or one part.
pub(crate) fn run(part: Option<&str>) -> anyhow::Result<Report> {
    if part.is_some_and(|part| !PARTS.contains(&part)) {
        bail!("the parts of `engines` are {}", PARTS.join(", "));
    }
    let mut report = Report::new("engines");
    report.condition(format!(
        "one process with one tokio runtime of {WORKERS} threads for producer, relay and consumer; PostgreSQL, NATS and Kafka beside it on the \
         same machine, with one copy of everything; PostgreSQL syncs at each commit (fsync and synchronous_commit are on), NATS and Kafka \
         acknowledge what they have in memory of the system, as they do by default"
    ));
    let runtime = runtime("bench")?;
    let servers = runtime.block_on(Servers::start())?;
    let wanted = |name| part.is_none_or(|part| part == name);
    if wanted("arrival") {
        arrival::measure(&runtime, &servers, &mut report)?;
    }
    if wanted("saturation") {
        saturation::measure(&runtime, &servers, &mut report)?;
    }
    if wanted("transactions") {
        transactions::measure(&runtime, &servers, &mut report)?;
    }
    if wanted("backlog") {
        backlog::measure(&runtime, &servers, &mut report)?;
    }
    Ok(report)
}
