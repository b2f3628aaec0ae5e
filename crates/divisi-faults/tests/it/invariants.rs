//! I1 to I6, I8 and I10 of the catalogue: a bank's truth held against its callers' book.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::{Answer, Book, Entry};
use crate::truth::{At, Truth};

/// What is broken, in words, and how often the two worst things happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) broken: Vec<String>,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
}

/// A change: which account, which of its versions.
type Id = (i64, i64);

/// Holds all of it.
pub(crate) fn judge(book: &Book, truth: &Truth) -> Verdict {
    let mut verdict = Verdict::default();
    let told: Vec<Id> = truth.changes.iter().map(|change| id(&change.at)).collect();

    // I1, I4: what callers were told is in the log, all of it and nothing else.
    let changes: BTreeMap<Id, _> = truth.changes.iter().map(|change| (id(&change.at), change)).collect();
    let mut n_told: BTreeMap<&str, usize> = BTreeMap::new();
    for change in &truth.changes {
        *n_told.entry(&change.transfer).or_default() += 1;
    }
    n_told.remove("opening");
    for transfer in &book.transfers {
        let n = n_told.remove(transfer.id.as_str()).unwrap_or(0);
        match &transfer.answer {
            Answer::Refused if n > 0 => {
                verdict.says("I4", format!("{} was refused and has {n} events", transfer.id))
            }
            Answer::Refused => {}
            Answer::Done(entries) => {
                verdict.lost += transfer.n_legs.saturating_sub(n);
                verdict.doubled += n.saturating_sub(transfer.n_legs);
                if n != transfer.n_legs {
                    verdict.says("I1", format!("{} has {n} events, not {}", transfer.id, transfer.n_legs));
                }
                for entry in entries {
                    let change = changes.get(&(entry.account, entry.version));
                    if change.is_none_or(|c| c.balance != entry.balance || c.transfer != transfer.id) {
                        verdict.says(
                            "I4",
                            format!("{} was answered {entry:?}, the log has {change:?}", transfer.id),
                        );
                    }
                }
            }
        }
    }
    for (transfer, n) in n_told {
        verdict.says("I4", format!("{transfer} has {n} events and nobody was answered so"));
    }

    // I4: state and last event agree. I5: positions are 1, 2, 3 … I6: no money comes or goes.
    let last = last(truth.changes.iter().map(|c| Entry {
        account: c.at.account,
        version: c.at.version,
        balance: c.balance,
    }));
    verdict.same("I4", "accounts against their log", &truth.accounts, &last);
    for change in &truth.changes {
        let before =
            changes.get(&(change.at.account, change.at.version - 1)).map_or(0, |before| before.balance);
        if before + change.amount != change.balance {
            verdict.says("I4", format!("{change:?} does not follow from {before}"));
        }
    }
    verdict.dense("accounts", truth.changes.iter().map(|change| change.at));
    verdict.dense("bookings", truth.bookings.iter().copied());
    if truth.accounts.len() != book.n_accounts {
        verdict.says("I6", format!("there are {} accounts, not {}", truth.accounts.len(), book.n_accounts));
    }
    for (what, entries) in
        [("accounts", &truth.accounts), ("the ledger", &truth.ledger), ("the read model", &truth.read_model)]
    {
        let sum: i64 = entries.iter().map(|entry| entry.balance).sum();
        if sum != book.sum {
            verdict.says("I6", format!("{what} hold {sum}, not {}", book.sum));
        }
    }

    // I1, I2: each event took effect once, wherever it is heard.
    verdict.once(
        "the ledger's effects",
        &told,
        truth.effects.iter().map(|effect| (effect.entry.account, effect.entry.version)),
    );
    verdict.once("bookings", &told, truth.bookings.iter().map(id));
    let repeated = |n: fn(&(i64, i64, i64, i64)) -> i64| {
        truth
            .audited
            .iter()
            .flat_map(move |row| std::iter::repeat_n((row.0, row.1), usize::try_from(n(row)).unwrap_or(0)))
    };
    verdict.once("changes that the audit heard of", &told, repeated(|row| row.2));
    verdict.once("bookings that the audit heard of", &told, repeated(|row| row.3));
    for effect in &truth.effects {
        let Entry { account, version, balance } = effect.entry;
        let same = |c: &&crate::truth::Change| {
            c.balance == balance && c.transfer == effect.transfer && c.amount == effect.amount
        };
        if changes.get(&(account, version)).is_none_or(|change| !same(change)) {
            verdict.says("I1", format!("{effect:?} is not what the log says"));
        }
    }

    // I3: in order per key, in the logs and in the effects.
    verdict.in_order("the log of accounts", truth.changes.iter().map(|change| id(&change.at)));
    verdict.in_order(
        "the ledger's effects",
        truth.effects.iter().map(|effect| (effect.entry.account, effect.entry.version)),
    );
    verdict.in_order("the log of bookings", truth.bookings.iter().map(id));

    // What is folded is what it was folded from.
    verdict.same("I1", "the ledger against accounts", &truth.ledger, &truth.accounts);
    verdict.same("I1", "the read model against accounts", &truth.read_model, &truth.accounts);

    for line in &book.went_back {
        verdict.says("I8", line.clone());
    }
    for line in &truth.parked {
        verdict.says("I10", format!("parked: {line}"));
    }
    verdict
}

impl Verdict {
    /// Fails with everything that is broken.
    pub(crate) fn holds(&self, what: &str) {
        let first: Vec<&String> = self.broken.iter().take(20).collect();
        assert!(
            self.broken.is_empty(),
            "{what}: {} lost, {} doubled, {} broken: {first:#?}",
            self.lost,
            self.doubled,
            self.broken.len()
        );
    }

    fn says(&mut self, invariant: &str, words: String) {
        self.broken.push(format!("{invariant}: {words}"));
    }

    fn once(&mut self, what: &str, wanted: &[Id], found: impl Iterator<Item = Id>) {
        let mut n: BTreeMap<Id, usize> = BTreeMap::new();
        for id in found {
            *n.entry(id).or_default() += 1;
        }
        let wanted: BTreeSet<Id> = wanted.iter().copied().collect();
        for id in &wanted {
            match n.get(id) {
                None => {
                    self.lost += 1;
                    self.says("I1", format!("{what}: {id:?} is lost"));
                }
                Some(1) => {}
                Some(n) => {
                    self.doubled += n - 1;
                    self.says("I2", format!("{what}: {id:?} is there {n} times"));
                }
            }
        }
        for id in n.keys().filter(|id| !wanted.contains(id)) {
            self.says("I1", format!("{what}: {id:?} is of no event"));
        }
    }

    fn in_order(&mut self, what: &str, found: impl Iterator<Item = Id>) {
        let mut last: BTreeMap<i64, i64> = BTreeMap::new();
        for (account, version) in found {
            let before = last.insert(account, version).unwrap_or(0);
            if version != before + 1 {
                self.says("I3", format!("{what}: account {account} has {version} after {before}"));
            }
        }
    }

    fn dense(&mut self, what: &str, found: impl Iterator<Item = At>) {
        let mut last: BTreeMap<i64, i64> = BTreeMap::new();
        for At { lane, pos, .. } in found {
            let before = last.insert(lane, pos).unwrap_or(0);
            if pos != before + 1 {
                self.says("I5", format!("{what}: lane {lane} has {pos} after {before}"));
            }
        }
    }

    fn same(&mut self, invariant: &str, what: &str, found: &[Entry], wanted: &[Entry]) {
        let (found, wanted): (BTreeSet<_>, BTreeSet<_>) = (found.iter().collect(), wanted.iter().collect());
        for entry in found.symmetric_difference(&wanted).take(3) {
            self.says(invariant, format!("{what}: {entry:?} is in one of them only"));
        }
    }
}

fn id(at: &At) -> Id {
    (at.account, at.version)
}

/// Each account at its highest version.
fn last(changes: impl Iterator<Item = Entry>) -> Vec<Entry> {
    let mut last: BTreeMap<i64, Entry> = BTreeMap::new();
    for change in changes {
        let known = last.entry(change.account).or_insert(change);
        if change.version > known.version {
            *known = change;
        }
    }
    last.into_values().collect()
}
