//! Epochs: positions are compared only within one, since a restored database uses positions again.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mutation::{self, Mutation};
use crate::record::{Lane, Pos, Timestamp};

/// One life of a database as a source of events.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub i64);

/// A source's list of epochs, for some lanes: where each lane ended when an epoch began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Epochs {
    /// Every epoch in the list, oldest first. The last is the one of today.
    pub known: Vec<Epoch>,
    /// Where a lane ended when an epoch began. A lane without a row for an epoch has a later one at or below it, or
    /// was empty.
    pub forks: Vec<Fork>,
}

/// Where one lane ended when an epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fork {
    /// The lane.
    pub lane: Lane,
    /// The epoch that began.
    pub epoch: Epoch,
    /// The last position that it inherited.
    pub fork: Pos,
}

/// The highest random part of a new epoch's number.
pub const EPOCH_RANDOM_MAX: i64 = 1 << 20;

impl Epoch {
    /// The number of an epoch that begins now: above every known one, and with a random part so that two restores
    /// of one copy at the same instant differ.
    #[must_use]
    pub fn begin(above: Epoch, now: Timestamp) -> Epoch {
        if mutation::made(Mutation::PlusOne) {
            return Epoch(above.0 + 1);
        }
        Epoch(above.0.max(now.0) + 1 + fastrand::i64(0..=EPOCH_RANDOM_MAX))
    }
}

impl Epochs {
    /// The epoch of today; 0 for an empty list.
    pub fn current(&self) -> Epoch {
        self.known.last().copied().unwrap_or_default()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
