//! The table of results, as Markdown.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use super::{Figure, Passed, Row};
use crate::command::root;
use crate::servers;

/// When, of what and where a run is made: asked before it begins.
pub(super) fn conditions() -> String {
    format!(
        "on {}, at commit {}, on {}, load {}; {}",
        said("date", &["-u", "+%F"]),
        said("git", &["rev-parse", "--short", "HEAD"]),
        machine(),
        load(),
        servers::versions(),
    )
}

/// All of docs/faults_results.md.
pub(super) fn page(
    conditions: &str,
    form: &str,
    took: Duration,
    figures: &[Figure],
    rows: &[Row],
    passed: &Passed,
) -> String {
    let mut page = format!(
        "# What the faults of the catalogue did\n\n\
         Written by `cargo xtask faults`, never by hand: {conditions}. The {form} form, in {:.0} minutes; the load was {} at the end.\n\n\
         ## A bank on real engines, under load\n\n\
         Real processes and real servers ([faults.md](faults.md)). *events* are all that were appended; *lost* and *doubled* count effects in every reader against \
         what callers were told; *worst wait* is the longest between an event's append and its effect while the fault lasted, *p99 after* is from three seconds after the \
         fault's beginning.\n\n\
         | fault | what was done | engine | events | lost | doubled | worst wait | p99 after | | verdict |\n\
         |---|---|---|--:|--:|--:|--:|--:|---|---|\n",
        took.as_secs_f64() / 60.0,
        load(),
    );
    let mut figures: Vec<&Figure> = figures.iter().collect();
    figures.sort_by_key(|figure| figure.faults.first().map(|fault| number(fault)));
    for figure in figures {
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            names(&figure.faults),
            figure.done,
            figure.engine,
            figure.events,
            figure.lost,
            figure.doubled,
            millis(figure.worst_ms),
            millis(figure.p99_ms),
            figure.note,
            if figure.held { "held" } else { "**broken**" },
        );
    }
    page.push_str(
        "\n## Every test of the catalogue\n\n\
         | fault | what happens | tests | verdict |\n\
         |---|---|--:|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            row.fault,
            row.what,
            row.tests.len(),
            verdict(row, passed)
        );
    }
    page
}

fn verdict(row: &Row, passed: &Passed) -> String {
    let bad = row.tests.iter().filter_map(|test| match passed.get(test) {
        Some(true) => None,
        Some(false) => Some(format!("**broken**: `{test}`")),
        None => Some(format!("**not run**: `{test}`")),
    });
    let bad: Vec<String> = bad.collect();
    if bad.is_empty() { "held".to_owned() } else { bad.join(", ") }
}

/// Each once, in order.
fn names(faults: &[String]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for fault in faults {
        if !names.contains(&fault.as_str()) {
            names.push(fault);
        }
    }
    names.join(", ")
}

fn number(fault: &str) -> u32 {
    fault.trim_start_matches("F-").parse().unwrap_or(u32::MAX)
}

fn millis(time: Option<u64>) -> String {
    time.map_or_else(String::new, |ms| format!("{ms} ms"))
}

fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = cpu.map_or_else(|| "a processor without a name".to_owned(), |(_, name)| name.to_owned());
    format!("{cores} cores, {cpu}, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// How busy the machine was in the last minute.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// What a program says, in one line.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| "(not known)".to_owned())
}
