//! How many calls may be in flight at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use divisi_contract::{CallError, CauseKind};

/// Calls in flight to one service from one route, when nothing else is said: enough to keep 64 cores busy with
/// waiting handlers, little enough that a stalled callee is noticed before memory is.
pub const CALLS_IN_FLIGHT_MAX: usize = 1_024;

/// A bound on calls in flight. A call beyond it fails at once: it did not run.
#[derive(Debug)]
pub struct Limit {
    in_flight: AtomicUsize,
    max: usize,
    refused: AtomicU64,
}

/// A place under a [`Limit`], given back when dropped.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Limit);

impl Limit {
    /// At most `max` at once.
    pub fn new(max: usize) -> Limit {
        Limit { in_flight: AtomicUsize::new(0), max, refused: AtomicU64::new(0) }
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How many calls found no place.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes a place, or says that there is none.
    pub fn enter<R>(&self, service: &str) -> Result<InFlight<'_>, CallError<R>> {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < self.max {
            return Ok(InFlight(self));
        }
        self.leave();
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(CallError::not_run(
            CauseKind::Overloaded,
            format!("`{service}` has {} calls in flight, which is its limit; try again later", self.max),
        ))
    }

    fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Limit {
    fn default() -> Limit {
        Limit::new(CALLS_IN_FLIGHT_MAX)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
