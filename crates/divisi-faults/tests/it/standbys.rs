//! Another database server takes over: F-38 with everything that was acknowledged, F-39 without the last of it.

use std::collections::BTreeSet;
use std::time::Duration;

use divisi_servers::Postgres;
use divisi_servers::postgres::Replication;
use divisi_testkit::eventually;

use crate::bank::{ACCOUNTS_ON_POSTGRES, Bank};
use crate::book::Answer;
use crate::figures::{Told, end, form_of, seed};
use crate::load::{Load, Pace};
use crate::servers::wait;
use crate::truth::settles;

const CALLERS: usize = 4;
/// What the standby lacks.
const LACKING: u32 = 50;

/// A bank whose accounts will find the standby when the primary is gone.
fn with_a_standby(replication: Replication) -> (Bank, Postgres) {
    let mut bank = Bank::start(ACCOUNTS_ON_POSTGRES);
    let primary = bank.postgres().expect("a server").clone();
    let standby = wait(primary.standby(replication));
    bank.is_at(&format!("{},{}", standby.address(), primary.address()));
    bank.kill("accounts");
    bank.start_one("accounts");
    (bank, standby)
}

#[test]
fn a_synchronous_standby_takes_over_under_load_and_nothing_is_lost_or_doubled() {
    let (mut bank, standby) = with_a_standby(Replication::Synchronous);
    let load = Load::start(bank.address(), seed(), CALLERS, Pace::Free);
    load.goes_on(form_of(100, 1_000));
    wait(bank.postgres().expect("a server").kill());
    wait(standby.promote());
    load.goes_on(form_of(100, 1_000));
    bank.replaced_by(standby);
    let outcome = end(&mut bank, load);
    outcome.holds(
        &["F-38"],
        "the primary killed under load, its synchronous standby promoted",
        &Told::default(),
    );
}

#[test]
fn events_that_an_asynchronous_standby_lacks_are_named_and_new_ones_are_not_swallowed() {
    let (mut bank, standby) = with_a_standby(Replication::Asynchronous);
    let load = Load::start(bank.address(), seed(), CALLERS, Pace::Free);
    load.goes_on(form_of(60, 500));
    let before = load.end(|| settles(&bank));
    let primary = bank.postgres().expect("a server").clone();
    let count = "SELECT count(*) FROM divisi_outbox";
    let wanted = wait(primary.sql_in("bank_accounts", count));
    let there = || wait(standby.sql_in("bank_accounts", count));
    eventually("the standby has all of it", Duration::from_secs(20), there, |n| *n == wanted);
    wait(standby.stop());

    // Acknowledged, announced, applied by everybody, and then never happened.
    let dead = Load::pairs(bank.address(), "dead", LACKING / 2);
    settles(&bank);
    wait(primary.kill());
    wait(standby.start());
    wait(standby.promote());
    bank.replaced_by(standby);
    let load = Load::start_as(bank.address(), "after", seed(), CALLERS, Pace::Free);
    load.goes_on(form_of(60, 500));
    let mut outcome = end_named(&mut bank, load);

    let effects = std::mem::take(&mut outcome.truth.effects);
    let is_dead = |transfer: &str| dead.iter().any(|told| told.id == transfer);
    let (of_the_dead, living): (Vec<_>, Vec<_>) =
        effects.into_iter().partition(|effect| is_dead(&effect.transfer));
    assert_eq!(of_the_dead.len(), LACKING as usize, "what took effect and is not known any more");
    assert!(!outcome.truth.changes.iter().any(|change| is_dead(&change.transfer)));
    let key = |account, version, transfer: &str| (account, version, transfer.to_owned());
    let applied: Vec<_> = living.iter().map(|e| key(e.entry.account, e.entry.version, &e.transfer)).collect();
    let announced: BTreeSet<_> =
        outcome.truth.changes.iter().map(|c| key(c.at.account, c.at.version, &c.transfer)).collect();
    assert_eq!(applied.len(), announced.len(), "each event of the log took effect once");
    assert_eq!(applied.into_iter().collect::<BTreeSet<_>>(), announced);
    let acknowledged = before.transfers.iter().chain(&outcome.book.transfers);
    for told in acknowledged {
        if let Answer::Done(entries) = &told.answer {
            let known = |e: &crate::book::Entry| announced.contains(&key(e.account, e.version, &told.id));
            assert!(entries.iter().all(known), "{told:?} is not in the log");
        }
    }
    // Accounts itself is whole: what is judged of the others cannot be, since they know what it has forgotten.
    outcome.truth.effects = living;
    outcome.verdict = crate::invariants::Verdict::default();
    let told = Told { note: format!("{LACKING} events named as diverged by each reader"), ..Told::default() };
    outcome.holds(&["F-39"], "an asynchronous standby promoted that lacks 50 events", &told);
}

/// Ends like any bank, and looks before that whether every reader has named what it knows and its source does not.
fn end_named(bank: &mut Bank, load: Load) -> crate::figures::Outcome {
    let named = |bank: &Bank| -> Vec<(String, i64)> {
        let lag = bank.told(&["lag"]);
        let readers = lag["lag"].as_array().cloned().unwrap_or_default();
        let of_accounts = readers.iter().filter(|reader| reader["topic"] == "accounts");
        of_accounts
            .map(|reader| {
                let name = reader["reader"].as_str().unwrap_or_default().to_owned();
                (name, reader["diverged"].as_i64().unwrap_or(-1))
            })
            .collect()
    };
    let all =
        |named: &Vec<(String, i64)>| named.len() == 3 && named.iter().all(|(_, n)| *n == i64::from(LACKING));
    eventually("every reader names what is lost", Duration::from_secs(20), || named(bank), all);
    end(bank, load)
}
