//! Brokers that stand still, die again and again, or never come back: F-17 and F-18.

use std::time::Duration;

use crate::bank::{Bank, FILES_NATS, KAFKA, NATS, On, POSTGRES};
use crate::figures::{Form, Outcome, Told, end, form, form_of, now, seed};
use crate::lanes::come_to_the_carrier;
use crate::load::{Load, Pace};

/// Transfers a second: waits are then the bank's, not those of a queue before it.
const PACE: Pace = Pace::PerSecond(80);
/// Consumers go on from the log so soon after a broker fell silent.
const GOES_ON_WITHIN: Duration = Duration::from_secs(3);
/// On a busy machine, in the form that is no measurement.
const SLACK: Duration = Duration::from_secs(7);
const CALLERS: usize = 6;

/// Moments of a run.
struct Span {
    from: i64,
    to: i64,
}

fn engines() -> &'static [On] {
    form_of(&[FILES_NATS], &[NATS, KAFKA])
}

#[test]
fn a_broker_that_stands_still_is_passed_by_and_returned_to() {
    let frozen = form_of(Duration::from_secs(3), Duration::from_secs(60));
    let log_alone = log_alone();
    for on in engines() {
        let mut bank = Bank::start(*on);
        let load = Load::start(bank.address(), seed(), CALLERS, PACE);
        come_to_the_carrier(&bank);
        let from = now();
        bank.broker().freeze();
        load.goes_on_for(frozen);
        let to = now();
        bank.broker().thaw();
        let back = come_to_the_carrier(&bank);
        load.goes_on(form_of(40, 1_000));
        let outcome = end(&mut bank, load);
        let done = format!("{} frozen for {} s", broker(*on), frozen.as_secs());
        let note = format!("lanes back after {:.1} s{}", back.as_secs_f64(), beside(log_alone));
        tell(&outcome, &["F-17"], &done, &Span { from, to }, note);
    }
}

#[test]
fn a_broker_killed_again_and_again_loses_and_doubles_nothing() {
    let kills = form_of(2, 10);
    for on in engines() {
        let mut bank = Bank::start(*on);
        let load = Load::start(bank.address(), seed(), CALLERS, PACE);
        come_to_the_carrier(&bank);
        let from = now();
        for _ in 0..kills {
            bank.broker().kill();
            load.goes_on(40);
            bank.broker().start();
            load.goes_on(40);
        }
        let to = now();
        let back = come_to_the_carrier(&bank);
        let outcome = end(&mut bank, load);
        let done = format!("{} killed and started again, {kills} times", broker(*on));
        let told = Told {
            worst: outcome.worst(from, to),
            note: format!("lanes back after {:.1} s", back.as_secs_f64()),
            ..Told::default()
        };
        outcome.holds(&["F-18"], &done, &told);
    }
}

#[test]
fn a_broker_that_is_gone_for_good_is_done_without() {
    let rest = form_of(150, 4_500);
    let log_alone = log_alone();
    for on in engines() {
        let mut bank = Bank::start(*on);
        let load = Load::start(bank.address(), seed(), CALLERS, PACE);
        come_to_the_carrier(&bank);
        let from = now();
        bank.broker().kill();
        load.goes_on(rest);
        let to = now();
        let outcome = end(&mut bank, load);
        let done = format!("{} gone for good", broker(*on));
        tell(&outcome, &["F-17"], &done, &Span { from, to }, beside(log_alone));
    }
}

/// Writes the figures down, and fails when events waited longer than they may.
fn tell(outcome: &Outcome, faults: &[&str], done: &str, span: &Span, note: String) {
    let second = 1_000_000;
    let after = span.from + i64::try_from(GOES_ON_WITHIN.as_micros()).unwrap_or_default();
    let told = Told {
        worst: outcome.worst(span.from - second, span.to),
        p99_after: outcome.p99(after, span.to),
        note: note.trim_start_matches([';', ' ']).to_owned(),
    };
    outcome.holds(faults, done, &told);
    let most = GOES_ON_WITHIN + form_of(SLACK, Duration::ZERO);
    let worst = told.worst.expect("events were appended meanwhile");
    assert!(worst <= most, "{done}: an event waited {worst:?} for its effect");
}

/// What 99 of 100 events wait at the most on PostgreSQL without a broker, at the same pace: measured in the whole form.
fn log_alone() -> Option<Duration> {
    if form() == Form::Short {
        return None;
    }
    let mut bank = Bank::start(POSTGRES);
    let load = Load::start(bank.address(), seed(), CALLERS, PACE);
    load.goes_on(200);
    let from = now();
    load.goes_on(1_500);
    let to = now();
    let outcome = end(&mut bank, load);
    outcome.verdict.holds("a bank without a broker");
    outcome.p99(from, to)
}

fn beside(log_alone: Option<Duration>) -> String {
    log_alone.map(|p99| format!("; the log alone has a p99 of {} ms", p99.as_millis())).unwrap_or_default()
}

fn broker(on: On) -> &'static str {
    on.name.rsplit(", ").next().unwrap_or(on.name)
}
