//! Events: what a commit costs, how soon an event arrives, how many do, and what a backlog does to calls.

pub(crate) mod arrival;
pub(crate) mod backlog;
pub(crate) mod commits;
pub(crate) mod listening;
mod place;
mod plain;
pub(crate) mod sale;
mod slow_sync;
mod through;

use anyhow::bail;

use crate::report::Report;
use crate::runtime::{WORKERS, runtime};

/// The name under which the benchmark calls itself, with slow syncs.
pub(crate) const SLOWED: &str = "events-with-slow-syncs";

/// What can be measured alone.
const PARTS: [&str; 5] = ["commits", "slow-syncs", "arrival", "through", "backlog"];

/// Measures all of it, or one part.
pub(crate) fn run(part: Option<&str>) -> anyhow::Result<Report> {
    let mut report = Report::new("events");
    report.condition(format!(
        "one process with one tokio runtime of {WORKERS} threads; files on the file system of {}",
        std::env::temp_dir().display()
    ));
    report.condition("SQLite with a write-ahead log and synchronous=FULL everywhere");
    if part.is_some_and(|part| !PARTS.contains(&part)) {
        bail!("the parts of `events` are {}", PARTS.join(", "));
    }
    let wanted = |name| part.is_none_or(|part| part == name);
    let runtime = runtime("bench")?;
    if wanted("commits") {
        let measured = commits::measure(&runtime, commits::Disk::AsItIs)?;
        commits::report(&measured, commits::Disk::AsItIs, &mut report);
    }
    if wanted("slow-syncs") {
        commits::report(&slow_sync::measure()?, commits::Disk::Slowed, &mut report);
    }
    if wanted("arrival") {
        arrival::measure(&runtime, &mut report)?;
    }
    if wanted("through") {
        through::measure(&runtime, &mut report)?;
    }
    if wanted("backlog") {
        backlog::measure(&runtime, &mut report)?;
    }
    Ok(report)
}

/// Only the commits, in a process whose syncs are slow; prints what it found, for the process that started it.
pub(crate) fn run_slowed() -> anyhow::Result<()> {
    slow_sync::check()?;
    let measured = commits::measure(&runtime("bench")?, commits::Disk::Slowed)?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}
