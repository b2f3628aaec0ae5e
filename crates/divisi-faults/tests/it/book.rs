//! What callers were told: the only thing that a bank is held against.

use serde_json::Value;

/// Every transfer that was asked for, with its answer. Callers ask until they are answered, so there is nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    /// What all accounts had together when they were opened.
    pub(crate) sum: i64,
    /// How many accounts there are.
    pub(crate) n_accounts: usize,
    pub(crate) transfers: Vec<Told>,
    /// Where a reader saw an account go back.
    pub(crate) went_back: Vec<String>,
}

/// One transfer.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) id: String,
    /// How many accounts it changes.
    pub(crate) n_legs: usize,
    pub(crate) answer: Answer,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It was done: how each account stood then.
    Done(Vec<Entry>),
    /// It was refused: nothing of it may be seen anywhere.
    Refused,
}

/// An account at one of its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) account: i64,
    pub(crate) version: i64,
    pub(crate) balance: i64,
}

impl Book {
    /// How many transfers were done.
    pub(crate) fn n_done(&self) -> usize {
        self.transfers.iter().filter(|told| matches!(told.answer, Answer::Done(_))).count()
    }

    /// Adds what another caller was told.
    pub(crate) fn add(&mut self, more: Vec<Told>) {
        self.transfers.extend(more);
    }
}

impl Entry {
    /// The entries of an answer.
    pub(crate) fn all(answer: &Value) -> Vec<Entry> {
        let number = |entry: &Value, name: &str| {
            entry[name].as_i64().unwrap_or_else(|| panic!("{entry} has no `{name}`"))
        };
        let entries = answer.as_array().unwrap_or_else(|| panic!("{answer} is no list"));
        let entry = |entry: &Value| Entry {
            account: number(entry, "account"),
            version: number(entry, "version"),
            balance: number(entry, "balance"),
        };
        entries.iter().map(entry).collect()
    }
}
