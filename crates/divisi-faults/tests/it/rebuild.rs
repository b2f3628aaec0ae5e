//! F-48: a read model is built anew while events arrive and readers watch, its process killed at every step.

use std::time::Duration;

use divisi_testkit::eventually;

use crate::bank::{Bank, FILES, POSTGRES};
use crate::figures::{Told, end, form_of, seed};
use crate::load::{Load, Pace};
use crate::truth::active;

/// The points that a rebuild passes, in order.
const STEPS: [&str; 6] = [
    "rebuild.begun",
    "rebuild.opened",
    "rebuild.caught_up",
    "rebuild.paused",
    "rebuild.before_flip",
    "rebuild.after_flip",
];

#[test]
fn readers_never_go_back_while_a_read_model_is_rebuilt_and_its_process_killed_at_every_step() {
    for on in form_of(&[POSTGRES] as &[_], &[FILES, POSTGRES]) {
        let mut bank = Bank::start(*on);
        let load = Load::start(bank.address(), seed(), 4, Pace::PerSecond(form_of(40, 200)));
        load.goes_on(form_of(60, 2_000));
        for (n, step) in STEPS.iter().enumerate() {
            bank.kill("audit");
            let fail = format!("{step}=kill@1");
            // The first start asks for it; the others find it under way.
            let asks: &[&str] = if n == 0 { &["--rebuild", "audit.balances"] } else { &[] };
            bank.start_failing_with("audit", &fail, asks);
            bank.killed_itself("audit", &fail);
        }
        bank.start_one("audit");
        let number = || active(&bank);
        eventually("the new version serves", Duration::from_secs(20), number, |number| *number == 2);
        load.goes_on(60);
        end(&mut bank, load).holds(
            &["F-48"],
            "a read model rebuilt under load, its process killed at each of six steps",
            &Told::default(),
        );
    }
}
