//! Database servers that end at once, or are away: F-37 and F-35.

use std::time::Duration;

use crate::bank::{Bank, LEDGER_ON_POSTGRES, POSTGRES};
use crate::figures::{Told, end, form_of, now, seed};
use crate::load::{Load, Pace};
use crate::servers::{crash, wait};

/// So soon after its database has come back a consumer goes on, on a busy machine.
const GOES_ON_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_server_stopped_at_once_under_load_loses_and_doubles_nothing() {
    let stops = form_of(3, 10);
    let mut bank = Bank::start(POSTGRES);
    let load = Load::start(bank.address(), seed(), 6, Pace::Free);
    let server = bank.postgres().expect("a server").clone();
    for _ in 0..stops {
        load.goes_on(form_of(40, 300));
        crash(&server);
    }
    load.goes_on(40);
    let done = format!("PostgreSQL stopped with `-m immediate` and started again, {stops} times");
    end(&mut bank, load).holds(&["F-37"], &done, &Told::default());
}

#[test]
fn a_consumer_whose_database_is_away_parks_nothing_and_goes_on() {
    let away = form_of(Duration::from_secs(2), Duration::from_secs(30));
    let mut bank = Bank::start(LEDGER_ON_POSTGRES);
    let load = Load::start(bank.address(), seed(), 4, Pace::PerSecond(60));
    load.goes_on(60);
    let server = bank.postgres().expect("a server").clone();
    let from = now();
    wait(server.stop());
    // Accounts have another database: they go on meanwhile.
    load.goes_on_for(away);
    wait(server.start());
    let to = now();
    load.goes_on(60);
    let outcome = end(&mut bank, load);
    let told = Told { worst: outcome.worst(from, to), ..Told::default() };
    outcome.holds(&["F-35"], &format!("the ledger's database away for {} s", away.as_secs()), &told);
    // Its lanes had come to wait half a minute between two attempts: one that finds the database frees the others.
    let worst = told.worst.expect("events were appended meanwhile");
    assert!(worst <= away + GOES_ON_WITHIN, "an event waited {worst:?}");
}
