//! F-14 and F-24: processes that relay and consume stand still, others of their name take over, and they wake up.

use std::time::Duration;

use divisi_testkit::process::send;
use rustix::process::Signal;

use crate::bank::{Bank, KAFKA, NATS, On};
use crate::figures::{Told, end, form_of, seed};
use crate::lanes::come_to_the_carrier;
use crate::load::{Load, Pace};

/// How long they stand still: in the whole form longer than the lease of a relay lasts.
fn still() -> Duration {
    form_of(Duration::from_secs(2), Duration::from_secs(15))
}

#[test]
fn processes_that_wake_up_after_others_took_over_lose_and_double_nothing() {
    for on in form_of(&[NATS] as &[On], &[NATS, KAFKA]) {
        // The first of each leads and relays; the second one of accounts gets the calls.
        let mut bank = Bank::start(*on);
        for service in ["accounts", "ledger"] {
            bank.start_twin(service);
        }
        bank.kill("gateway");
        bank.start_one("gateway");
        let load = Load::start(bank.address(), seed(), 6, Pace::PerSecond(80));
        come_to_the_carrier(&bank);
        for _ in 0..form_of(1, 3) {
            let zombies = ["accounts", "ledger"].map(|service| bank.pid(service));
            zombies.iter().for_each(|pid| send(*pid, Signal::STOP));
            load.goes_on_for(still());
            zombies.iter().for_each(|pid| send(*pid, Signal::CONT));
            load.goes_on(80);
        }
        let done = format!(
            "one of two instances of accounts and ledger stopped for {} s, {} times",
            still().as_secs(),
            form_of(1, 3)
        );
        let outcome = end(&mut bank, load);
        outcome.holds(&["F-14", "F-24"], &done, &Told::default());
    }
}
