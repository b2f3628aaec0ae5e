//! F-11: the process that relays is killed before it publishes, while it does, and before and after it notes that it did.

use crate::bank::{Bank, FILES_NATS, KAFKA, NATS, On};
use crate::figures::{Told, end, form_of, seed};
use crate::lanes::come_to_the_carrier;
use crate::load::{Load, Pace};

/// Where a relay is killed, and at the how manyth time that it comes there in its life.
const POINTS: [&str; 5] = [
    "relay.before=kill@5",
    "relay.sent=kill@5",
    "relay.some_acknowledged=kill@5",
    "relay.acknowledged=kill@5",
    "relay.kept=kill@2",
];

#[test]
fn a_relay_killed_at_any_point_of_its_work_loses_and_doubles_nothing() {
    let (rounds, engines): (usize, &[On]) = form_of((1, &[FILES_NATS]), (2, &[FILES_NATS, NATS, KAFKA]));
    for on in engines {
        let mut bank = Bank::start(*on);
        let load = Load::start(bank.address(), seed(), 4, Pace::PerSecond(60));
        come_to_the_carrier(&bank);
        for _ in 0..rounds {
            for point in POINTS {
                bank.kill("accounts");
                // Under a lease of a database that others may write, its life begins with up to ten seconds of waiting.
                bank.start_failing("accounts", point);
                bank.killed_itself("accounts", point);
                bank.start_one("accounts");
            }
        }
        come_to_the_carrier(&bank);
        let repeats = bank.metric("divisi_consumer_repeats_total", "ledger");
        let told = Told { note: format!("{repeats} copies came and were skipped"), ..Told::default() };
        let done = format!("the relay killed at five points of its work, {rounds} times each");
        end(&mut bank, load).holds(&["F-11"], &done, &told);
    }
}
