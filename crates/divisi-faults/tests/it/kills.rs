//! Processes of a bank are killed while it works: at random, and at named points.

use fastrand::Rng;

use crate::bank::{ALL, Bank, FILES, FILES_NATS, KAFKA, NATS, On, POSTGRES};
use crate::figures::{Told, end, form_of, seed};
use crate::load::{Load, Pace};

/// Transfers that must be answered between two faults.
const BETWEEN: usize = 40;
const CALLERS: usize = 6;

#[test]
fn processes_killed_at_random_lose_and_double_nothing() {
    let (kills, engines): (usize, &[On]) =
        form_of((8, &[FILES, POSTGRES]), (40, &[FILES, POSTGRES, FILES_NATS, NATS, KAFKA]));
    for on in engines {
        let mut bank = Bank::start(*on);
        let seed = seed();
        let load = Load::start(bank.address(), seed, CALLERS, Pace::Free);
        let mut random = Rng::with_seed(seed);
        for _ in 0..kills {
            load.goes_on(random.usize(1..=BETWEEN));
            let victim = ALL[random.usize(..ALL.len())];
            bank.kill(victim);
            bank.start_one(victim);
        }
        load.goes_on(BETWEEN);
        end(&mut bank, load).holds(
            &["F-52"],
            &format!("{kills} processes killed at random"),
            &Told::default(),
        );
    }
}

/// What SQLite's tests show at more points; here the same on a server.
#[test]
fn processes_killed_at_points_on_a_server_lose_and_double_nothing() {
    let points: [(&str, &'static str, &str); 5] = [
        ("F-2", "accounts", "commit.before=kill@25"),
        ("F-4", "accounts", "commit.after=kill@25"),
        ("F-23", "ledger", "consumer.before=kill@20"),
        ("F-23", "ledger", "consumer.handled=kill@20"),
        ("F-23", "ledger", "consumer.after=kill@20"),
    ];
    let mut bank = Bank::start(POSTGRES);
    let load = Load::start(bank.address(), seed(), CALLERS, Pace::Free);
    let mut done = Vec::new();
    for round in 0..form_of(1, 10) {
        for (_, service, fail) in points {
            load.goes_on(BETWEEN);
            bank.kill(service);
            bank.start_failing(service, fail);
            bank.killed_itself(service, fail);
            bank.start_one(service);
            if round == 0 {
                done.push(fail.split('=').next().unwrap_or_default());
            }
        }
    }
    load.goes_on(BETWEEN);
    let faults: Vec<&str> = points.iter().map(|(fault, _, _)| *fault).collect();
    end(&mut bank, load).holds(
        &faults,
        &format!("processes killed at {}, {} times each", done.join(", "), form_of(1, 10)),
        &Told::default(),
    );
}
