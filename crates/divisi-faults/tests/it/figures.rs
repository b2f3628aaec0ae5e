//! What a run leaves: how long events waited, and a line of figures for the table of results.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::bank::{Bank, On};
use crate::book::Book;
use crate::invariants::{Verdict, judge};
use crate::load::Load;
use crate::truth::{self, Truth};

/// `whole` or `short`; the short form is what every run of the tests has time for.
const FORM: &str = "DIVISI_FAULTS";
/// The file to which figures are appended, a line of JSON each.
const FIGURES: &str = "DIVISI_FAULTS_FIGURES";
/// Plays the draws of an earlier run again.
const SEED: &str = "DIVISI_FAULTS_SEED";

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Whole,
}

/// How much this run does.
pub(crate) fn form() -> Form {
    match std::env::var(FORM).as_deref() {
        Err(_) | Ok("short") => Form::Short,
        Ok("whole") => Form::Whole,
        Ok(other) => panic!("{FORM} is `{other}`, not `whole` or `short`"),
    }
}

/// One value for the short form and another for the whole.
pub(crate) fn form_of<T>(short: T, whole: T) -> T {
    match form() {
        Form::Short => short,
        Form::Whole => whole,
    }
}

/// Where this run's draws come from; printed, so that it can be played again.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{SEED} is `{text}`: {error}")),
        Err(_) => 20,
    };
    println!("{SEED}={seed}");
    seed
}

/// The time, as databases on this machine have it: microseconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// What has become of a bank that was left to itself.
pub(crate) struct Outcome {
    pub(crate) on: On,
    pub(crate) book: Book,
    pub(crate) truth: Truth,
    pub(crate) verdict: Verdict,
}

/// What is told of one fault beside what is counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// The longest that an event waited which was appended while the fault lasted, or shortly before.
    pub(crate) worst: Option<Duration>,
    /// 99 of 100 that were appended afterwards waited no longer.
    pub(crate) p99_after: Option<Duration>,
    /// What else is worth a word.
    pub(crate) note: String,
}

/// Lets callers end and readers catch up, stops everything in order, and judges.
pub(crate) fn end(bank: &mut Bank, load: Load) -> Outcome {
    let book = load.end(|| truth::settles(bank));
    bank.stop_processes();
    let truth = truth::read(bank);
    let verdict = judge(&book, &truth);
    Outcome { on: bank.on, book, truth, verdict }
}

impl Outcome {
    /// Writes down what was found, and fails if something is broken.
    pub(crate) fn holds(&self, faults: &[&str], done: &str, told: &Told) {
        let millis = |time: Option<Duration>| time.map(|time| time.as_millis());
        let figure = json!({
            "faults": faults,
            "done": done,
            "engine": self.on.name,
            "events": self.truth.changes.len() + self.truth.bookings.len(),
            "lost": self.verdict.lost,
            "doubled": self.verdict.doubled,
            "worst_ms": millis(told.worst),
            "p99_ms": millis(told.p99_after),
            "note": told.note,
            "held": self.verdict.broken.is_empty(),
        });
        if told.worst.is_some() {
            self.print_waits();
        }
        println!("{figure}");
        if let Ok(path) = std::env::var(FIGURES) {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            writeln!(file, "{figure}").unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        assert!(self.book.n_done() > 0, "nothing was done at all");
        self.verdict.holds(done);
    }

    /// Second by second: how many events were appended, and how long they waited.
    fn print_waits(&self) {
        let times = self.truth.changes.iter().map(|change| change.time);
        let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return };
        for (n, from) in (first..=last).step_by(1_000_000).enumerate() {
            let waits = self.waits(from, from + 1_000_000);
            if let (Some(median), Some(most)) = (waits.get(waits.len() / 2), waits.last()) {
                println!("second {n}: {} events waited {median:.0?}, {most:.0?} at the most", waits.len());
            }
        }
    }

    /// The longest wait between append and effect of the events appended in a span of time.
    pub(crate) fn worst(&self, from: i64, to: i64) -> Option<Duration> {
        self.waits(from, to).last().copied()
    }

    /// What 99 of 100 of them waited at the most.
    pub(crate) fn p99(&self, from: i64, to: i64) -> Option<Duration> {
        let waits = self.waits(from, to);
        waits.get((waits.len() * 99).div_ceil(100).checked_sub(1)?).copied()
    }

    /// In order of length.
    fn waits(&self, from: i64, to: i64) -> Vec<Duration> {
        self.truth.waits(from, to)
    }
}
