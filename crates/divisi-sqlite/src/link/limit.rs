//! How long a member may hold the writer.
//!
//! By the machine's clock, not by the runtime's: what is limited is work, which takes real time on a paused runtime
//! too. In simulation it is a number of steps, so that one seed makes one history.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use divisi_store::{StoreError, StoreErrorKind};

/// How many steps of SQLite's machine count as a millisecond in simulation.
const STEPS_PER_MILLISECOND: u64 = 100_000;

/// The limit of the member that is running.
#[derive(Debug)]
pub(crate) struct Limit {
    span: Duration,
    inline: bool,
    began: Instant,
    /// When the running member must be done, in nanoseconds since `began`, or how many steps it has left; 0 for no
    /// limit. `rusqlite`'s handler must be `Send`, hence an atomic; only one thread is ever here.
    until: AtomicU64,
}

impl Limit {
    pub(crate) fn new(span: Duration, inline: bool) -> Limit {
        Limit { span, inline, began: Instant::now(), until: AtomicU64::new(0) }
    }

    /// A member begins.
    pub(crate) fn start(&self) {
        let until = if self.inline {
            (self.span.as_millis() as u64).saturating_mul(STEPS_PER_MILLISECOND)
        } else {
            nanos(self.began.elapsed() + self.span)
        };
        self.until.store(until.max(1), Ordering::Relaxed);
    }

    /// It is gone; what runs now has no limit.
    pub(crate) fn stop(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    /// `steps` more were made: whether that was too much.
    pub(crate) fn passed(&self, steps: u64) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        if self.inline {
            self.until.store(until.saturating_sub(steps).max(1), Ordering::Relaxed);
            return until <= 1;
        }
        nanos(self.began.elapsed()) > until
    }

    /// Looks before a statement, since a member may be slow between two of them.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.passed(0) {
            return Err(StoreError::new(
                StoreErrorKind::TooLong,
                format!(
                    "the transaction took longer than {:?}; everybody who writes waits for it: do less at once",
                    self.span
                ),
            ));
        }
        Ok(())
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
