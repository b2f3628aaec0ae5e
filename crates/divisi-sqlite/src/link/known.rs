//! What the texts of statements say, read once and not at every use.

use std::cell::RefCell;
use std::iter::repeat_with;

use crate::scan;

/// How many texts are known at once. Each has one place, and whoever comes later has it.
const PLACES: usize = 256;
/// The longest text that is kept.
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// The texts of late.
pub(crate) struct Known(RefCell<Vec<Option<Text>>>);

struct Text {
    sql: Box<str>,
    facts: Facts,
}

/// What is known of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it has a `ROLLBACK` that a service may not have.
    pub(crate) rolls_back: bool,
    /// Whether it may bring a deferred foreign key.
    pub(crate) defers: bool,
    /// Whether its parameters are known to be first used in the order of their numbers.
    pub(crate) in_order: bool,
}

impl Known {
    pub(crate) fn new() -> Known {
        Known(RefCell::new(repeat_with(|| None).take(PLACES).collect()))
    }

    /// What is known of `sql`.
    pub(crate) fn of(&self, sql: &str) -> Facts {
        if let Some(Some(text)) = self.0.borrow().get(place(sql))
            && *text.sql == *sql
        {
            return text.facts;
        }
        let facts = Facts {
            rolls_back: scan::has_rollback(sql),
            defers: scan::has_deferred_key(sql),
            in_order: false,
        };
        self.learn(sql, facts);
        facts
    }

    /// Keeps what is known of `sql`.
    pub(crate) fn learn(&self, sql: &str, facts: Facts) {
        if sql.len() > TEXT_BYTES_MAX {
            return;
        }
        if let Some(text) = self.0.borrow_mut().get_mut(place(sql)) {
            *text = Some(Text { sql: sql.into(), facts });
        }
    }
}

/// By its length and three of its letters: most texts of a service differ in these, and two that do not take turns.
fn place(sql: &str) -> usize {
    let letters = sql.as_bytes();
    let [first, middle, last] = [0, letters.len() / 2, letters.len().saturating_sub(1)]
        .map(|at| usize::from(letters.get(at).copied().unwrap_or_default()));
    (letters.len().wrapping_mul(31) ^ first.wrapping_mul(7) ^ middle.wrapping_mul(3) ^ last) % PLACES
}

#[cfg(test)]
mod tests;
