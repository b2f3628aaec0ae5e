//! A share of lanes that says what it was told to say.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_store::inbox::Inbox;
use divisi_store::{StoreError, StoreErrorKind};

use crate::consumer::{LaneSet, Mine, Share};

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(5);

/// Says what it was told to say; that the database is away where it was told nothing.
#[derive(Debug, Default)]
pub struct Told {
    mine: Mutex<Option<LaneSet>>,
    left: Mutex<u32>,
}

impl Told {
    /// From now on these lanes are the instance's.
    pub fn say(&self, mine: Option<LaneSet>) {
        *self.mine.lock().unwrap_or_else(PoisonError::into_inner) = mine;
    }

    /// How often the lanes were given back.
    pub fn left(&self) -> u32 {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share for Told {
    fn lanes<'a>(&'a self, _inbox: &'a Inbox) -> BoxFuture<'a, Result<Mine, StoreError>> {
        let mine = *self.mine.lock().unwrap_or_else(PoisonError::into_inner);
        let away = || StoreError::new(StoreErrorKind::Busy, "the database is away");
        Box::pin(async move { mine.map(|lanes| Mine { lanes, again: EVERY }).ok_or_else(away) })
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn leave<'a>(&'a self, _inbox: &'a Inbox) -> BoxFuture<'a, Result<(), StoreError>> {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Box::pin(async { Ok(()) })
    }
}
