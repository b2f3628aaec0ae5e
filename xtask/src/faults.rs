//! `cargo xtask faults`: everything of the fault catalogue, in its long form, and the table of what came of it.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::command::root;
use crate::{needs, servers};

/// How much is done: `whole`, unless the environment says otherwise.
const FORM: &str = "DIVISI_FAULTS";
/// Where the tests leave their figures.
const FIGURES: &str = "DIVISI_FAULTS_FIGURES";
const CRATE: &str = "divisi-faults";

/// What a bank has come to, as its test wrote it down.
#[derive(Debug, Deserialize)]
struct Figure {
    faults: Vec<String>,
    done: String,
    engine: String,
    events: u64,
    lost: u64,
    doubled: u64,
    worst_ms: Option<u64>,
    p99_ms: Option<u64>,
    note: String,
    held: bool,
}

/// A row of docs/faults.md.
#[derive(Debug)]
struct Row {
    fault: String,
    what: String,
    tests: Vec<String>,
}

/// Whether a test passed, by its name without its path.
type Passed = BTreeMap<String, bool>;

/// Runs all of it and writes docs/faults_results.md, also when something is broken; then it fails.
pub(crate) fn faults() -> anyhow::Result<()> {
    needs::all()?;
    servers::servers()?;
    let (began, conditions) = (Instant::now(), page::conditions());
    let form = std::env::var(FORM).unwrap_or_else(|_| "whole".to_owned());
    let rows = rows()?;
    let scratch = tempfile::tempdir().context("no directory for the figures")?;
    let path = scratch.path().join("figures");
    let mut bank = Command::new(cargo());
    bank.args(["test", "--package", CRATE, "--all-features", "--no-fail-fast", "--test", "it"])
        .env(FORM, &form)
        .env(FIGURES, &path);
    let mut passed = tests_of(&mut bank, "the bank")?;
    let in_the_bank: BTreeSet<String> = passed.keys().cloned().collect();
    let others = rows.iter().flat_map(|row| &row.tests).filter(|test| !in_the_bank.contains(*test));
    let mut workspace = Command::new(cargo());
    workspace
        .args([
            "test",
            "--workspace",
            "--exclude",
            CRATE,
            "--all-features",
            "--no-fail-fast",
            "--tests",
            "--",
        ])
        .args(others.collect::<BTreeSet<_>>());
    for (name, well) in tests_of(&mut workspace, "the tests that docs/faults.md names")? {
        // Two crates may have tests of one name: both must pass.
        let both = passed.get(&name).copied().unwrap_or(true) && well;
        passed.insert(name, both);
    }
    let figures = fs::read_to_string(&path).context("the bank left no figures")?;
    let figures: Result<Vec<Figure>, _> = figures.lines().map(serde_json::from_str).collect();
    let figures = figures.context("the bank's figures cannot be read")?;
    let page = page::page(&conditions, &form, began.elapsed(), &figures, &rows, &passed);
    fs::write(root().join("docs/faults_results.md"), page).context("cannot write docs/faults_results.md")?;
    let broken: Vec<&String> = passed.iter().filter(|(_, well)| !**well).map(|(name, _)| name).collect();
    let missing: Vec<&String> =
        rows.iter().flat_map(|row| &row.tests).filter(|test| !passed.contains_key(*test)).collect();
    if !broken.is_empty() || !missing.is_empty() {
        bail!("broken: {broken:?}; not run: {missing:?}");
    }
    Ok(())
}

/// The rows of docs/faults.md.
fn rows() -> anyhow::Result<Vec<Row>> {
    let page = fs::read_to_string(root().join("docs/faults.md")).context("cannot read docs/faults.md")?;
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.splitn(3, " | ");
        let (fault, what, tests) = (cells.next()?, cells.next()?, cells.next()?);
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        fault.starts_with("F-").then(|| Row { fault: fault.to_owned(), what: what.to_owned(), tests })
    };
    Ok(page.lines().filter_map(row).collect())
}

/// Runs tests, shows what they say, and brings which passed.
fn tests_of(command: &mut Command, what: &str) -> anyhow::Result<Passed> {
    eprintln!("── {what}");
    let mut child = command
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start the tests of {what}"))?;
    let stdout = child.stdout.take().context("no output to read")?;
    let mut passed = Passed::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("the tests' output cannot be read")?;
        println!("{line}");
        if let Some((name, well)) = verdict(&line) {
            let both = passed.get(name).copied().unwrap_or(true) && well;
            passed.insert(name.to_owned(), both);
        }
    }
    let status = child.wait()?;
    if passed.is_empty() {
        bail!("no test of {what} has run: {status}");
    }
    Ok(passed)
}

/// `test a::b::name ... ok` is a verdict.
fn verdict(line: &str) -> Option<(&str, bool)> {
    let (path, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = path.rsplit("::").next()?;
    match verdict {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_and_nothing_else() {
        assert_eq!(verdict("test a::b::it_holds ... ok"), Some(("it_holds", true)));
        assert_eq!(verdict("test it_holds ... FAILED"), Some(("it_holds", false)));
        assert_eq!(verdict("test a::it_holds has been running for over 60 seconds"), None);
        assert_eq!(verdict("test result: ok. 1 passed; 0 failed"), None);
    }

    #[test]
    fn every_row_of_the_catalogue_has_tests() {
        let rows = rows().expect("the page");
        assert!(rows.len() > 50);
        for row in rows {
            assert!(!row.tests.is_empty() && !row.what.is_empty(), "{row:?}");
        }
    }
}
