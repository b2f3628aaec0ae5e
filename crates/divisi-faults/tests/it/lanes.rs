//! Which lanes of the ledger follow the carrier: those whose place on it moves on.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bank::Bank;
use crate::truth::{heads, rows};

/// How long lanes may take to come to the carrier, at a start or when the broker has come back.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(90);

/// Where each lane was last left on the carrier.
type Places = BTreeMap<String, String>;

/// Waits, under load, until three in four of the lanes that are in use have moved on by the carrier, and brings how long
/// that took.
pub(crate) fn come_to_the_carrier(bank: &Bank) -> Duration {
    let began = Instant::now();
    let in_use = heads(bank, "accounts", "accounts").len();
    let before = places(bank);
    loop {
        let moved = places(bank).iter().filter(|(lane, place)| before.get(*lane) != Some(place)).count();
        let waited = began.elapsed();
        if moved * 4 >= in_use * 3 {
            return waited;
        }
        assert!(waited < BACK_WITHIN, "{moved} of {in_use} lanes have come to the carrier in {waited:?}");
        sleep(Duration::from_millis(200));
    }
}

fn places(bank: &Bank) -> Places {
    let sql = "SELECT lane, carrier_hint FROM divisi_watermark WHERE consumer = 'ledger' AND topic = 'accounts' \
               AND carrier_hint IS NOT NULL";
    rows(bank, "ledger", false, sql).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}
