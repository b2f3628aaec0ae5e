//! The judge sees what it is there for: a sound bank is spoiled in one way after the other, and each is named.

use crate::bank::{Bank, FILES};
use crate::book::{Answer, Book};
use crate::figures::{end, seed};
use crate::invariants::judge;
use crate::load::{Load, Pace};
use crate::truth::Truth;

type Spoil = fn(&mut Book, &mut Truth);

/// What is spoiled, and what must be said of it.
const SPOILED: [(&str, Spoil, &str); 14] = [
    ("an effect is lost", |_, truth| drop(truth.effects.remove(7)), "I1: the ledger's effects"),
    (
        "an effect happens twice",
        |_, truth| truth.effects.push(truth.effects[7].clone()),
        "I2: the ledger's effects",
    ),
    ("two effects of a key change places", swap_effects, "I3: the ledger's effects"),
    ("an event is lost, with everything that came of it", lose_event, "I1: "),
    ("a refused transfer is in the log", |book, _| first_done(book, |_| Answer::Refused), "I4: "),
    (
        "a transfer is in the log that nobody was told of",
        |book, _| drop(book.transfers.remove(3)),
        "nobody was answered",
    ),
    ("an answer says another balance", |book, _| first_done(book, other_balance), "I4: "),
    (
        "a row is older than its log",
        |_, truth| truth.accounts[5].version -= 1,
        "I4: accounts against their log",
    ),
    ("a position is left out", |_, truth| last_of_lane(truth).at.pos += 1, "I5: accounts"),
    ("money comes from nowhere", |_, truth| truth.ledger[5].balance += 1, "I6: the ledger"),
    ("the read model lacks money", |_, truth| truth.read_model[5].balance -= 1, "I6: the read model"),
    ("a reader saw an account go back", |book, _| book.went_back.push("4 before 3".into()), "I8: "),
    ("a key is left parked", |_, truth| truth.parked.push("ledger accounts 5".into()), "I10: "),
    (
        "the audit heard twice of a booking",
        |_, truth| truth.audited[9].3 += 1,
        "I2: bookings that the audit heard of",
    ),
];

#[test]
fn whatever_is_spoiled_is_named() {
    let mut bank = Bank::start(FILES);
    let load = Load::start(bank.address(), seed(), 4, Pace::Free);
    load.goes_on(150);
    let sound = end(&mut bank, load);
    sound.verdict.holds("a sound bank");
    for (what, spoil, words) in SPOILED {
        let (mut book, mut truth) = (sound.book.clone(), sound.truth.clone());
        spoil(&mut book, &mut truth);
        let broken = judge(&book, &truth).broken;
        assert!(broken.iter().any(|line| line.contains(words)), "{what}: {broken:#?}");
    }
}

fn swap_effects(_: &mut Book, truth: &mut Truth) {
    let of_key = |key| move |effect: &crate::truth::Effect| effect.entry.account == key;
    let key = truth.effects.iter().find(|effect| effect.entry.version == 3).expect("a third").entry.account;
    let a = truth.effects.iter().position(of_key(key)).expect("an effect");
    let b = truth.effects.iter().rposition(of_key(key)).expect("an effect");
    truth.effects.swap(a, b);
}

/// As if a transfer had been acknowledged and then never been there.
fn lose_event(book: &mut Book, truth: &mut Truth) {
    let lost = last_of_lane(truth).at;
    let same = |account: i64, version: i64| (account, version) == (lost.account, lost.version);
    truth.changes.retain(|change| !same(change.at.account, change.at.version));
    truth.effects.retain(|effect| !same(effect.entry.account, effect.entry.version));
    truth.bookings.retain(|at| !same(at.account, at.version));
    truth.audited.retain(|row| !same(row.0, row.1));
    book.went_back.clear();
}

fn last_of_lane(truth: &mut Truth) -> &mut crate::truth::Change {
    let last = truth.changes.iter().rposition(|change| change.transfer != "opening");
    &mut truth.changes[last.expect("a transfer")]
}

fn first_done(book: &mut Book, change: fn(&Answer) -> Answer) {
    let done =
        book.transfers.iter_mut().find(|told| matches!(told.answer, Answer::Done(_))).expect("a transfer");
    done.answer = change(&done.answer);
}

fn other_balance(answer: &Answer) -> Answer {
    let Answer::Done(entries) = answer else { return answer.clone() };
    let mut entries = entries.clone();
    entries[0].balance += 1;
    Answer::Done(entries)
}
