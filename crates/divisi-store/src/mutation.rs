//! Deliberate mistakes, so that a test can show that it would notice them.
//!
//! Compiled in with the feature `mutations` alone, and then made only where a test asks for one, on its own thread.
//! Without the feature [`made`] is a constant and nothing of this is left.

/// A mistake that breaks a promise of events, or that must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A record that is not the next one is applied.
    AcceptGap,
    /// The watermark is moved without a look at where it is.
    NoCompareAndSet,
    /// A lane on a carrier never learns that something is missing.
    NoHeads,
    /// Positions are compared across epochs.
    IgnoreEpoch,
    /// Only the fork of the newest epoch counts.
    LastForkOnly,
    /// Only the source's list of epochs counts, not the stored one.
    OneList,
    /// A restart forgets the source's list.
    ListForgotten,
    /// A carrier's record of an epoch that is not in the list is applied.
    RecordWithoutList,
    /// A new epoch's number is the stored one and one more.
    PlusOne,
    /// A relay goes on behind a record that was not acknowledged. Harmless.
    RelaySkipsFailed,
    /// A relay keeps its cursor though its lease is lost. Harmless.
    RelayIgnoresFence,
}

/// Whether this mistake is to be made here.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub fn made(_mutation: Mutation) -> bool {
    false
}

#[cfg(feature = "mutations")]
pub use on::{made, make};

#[cfg(feature = "mutations")]
mod on {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static MADE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Makes this mistake on this thread from now on, or none.
    pub fn make(mutation: Option<Mutation>) {
        MADE.set(mutation);
    }

    /// Whether this mistake is to be made here.
    pub fn made(mutation: Mutation) -> bool {
        MADE.get() == Some(mutation)
    }
}
