//! Brokers that forget what they had: F-19, the directory put back to an older copy, and F-20, stream or topic deleted.

use std::thread::sleep;
use std::time::Duration;

use crate::bank::{Bank, FILES_NATS, KAFKA, NATS, On};
use crate::figures::{Told, end, form_of, now, seed};
use crate::lanes::come_to_the_carrier;
use crate::load::{Load, Pace};
use crate::truth::heads;

const PACE: Pace = Pace::PerSecond(80);
const CALLERS: usize = 6;

fn engines() -> &'static [On] {
    form_of(&[FILES_NATS], &[NATS, KAFKA])
}

#[test]
fn a_broker_put_back_to_an_older_copy_loses_and_doubles_nothing() {
    let forgotten = form_of(150, 500);
    for on in engines() {
        let mut bank = Bank::start(*on);
        let load = Load::start(bank.address(), seed(), CALLERS, PACE);
        come_to_the_carrier(&bank);
        let copies = tempfile::tempdir().expect("a directory");
        let copy = copies.path().join("copy");
        bank.broker().stop();
        bank.broker().copy_data(&copy);
        bank.broker().start();
        come_to_the_carrier(&bank);
        let n_events = |bank: &Bank| heads(bank, "accounts", "accounts").values().sum::<i64>();
        let copied = n_events(&bank);
        while n_events(&bank) < copied + forgotten {
            sleep(Duration::from_millis(100));
        }
        let from = now();
        bank.broker().kill();
        bank.broker().restore_data(&copy);
        bank.broker().start();
        let back = come_to_the_carrier(&bank);
        load.goes_on(form_of(40, 2_000));
        let to = now();
        let outcome = end(&mut bank, load);
        let told = Told {
            worst: outcome.worst(from, to),
            p99_after: outcome.p99(from + 3_000_000, to),
            note: format!("lanes back after {:.1} s", back.as_secs_f64()),
        };
        let done = format!("the broker's directory put back by {forgotten} events and more");
        outcome.holds(&["F-19"], &done, &told);
    }
}

#[test]
fn a_stream_or_topic_that_is_deleted_is_made_anew_and_nothing_is_lost_or_doubled() {
    for on in engines() {
        let mut bank = Bank::start(*on);
        let load = Load::start(bank.address(), seed(), CALLERS, PACE);
        come_to_the_carrier(&bank);
        let from = now();
        bank.broker().forget("accounts");
        let back = come_to_the_carrier(&bank);
        load.goes_on(form_of(40, 2_000));
        let to = now();
        let outcome = end(&mut bank, load);
        let told = Told {
            worst: outcome.worst(from, to),
            p99_after: outcome.p99(from + 3_000_000, to),
            note: format!("lanes back after {:.1} s", back.as_secs_f64()),
        };
        outcome.holds(&["F-20"], "the stream or topic of accounts deleted", &told);
    }
}
