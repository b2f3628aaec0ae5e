//! The clock that rows and records are stamped by.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::Timestamp;

/// Where timestamps come from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// A start, and from there on the runtime's clock, which a test can pause: one seed, one history.
    Simulated {
        /// The time at `since`, in microseconds of the Unix epoch.
        base_micros: i64,
        /// When the clock showed `base_micros`.
        since: Instant,
    },
}

impl Clock {
    /// A clock that starts at `base_micros` now and follows the runtime's.
    pub fn simulated(base_micros: i64) -> Clock {
        Clock::Simulated { base_micros, since: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match self {
            Clock::System => {
                Timestamp(micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
            }
            Clock::Simulated { base_micros, since } => {
                Timestamp(base_micros.saturating_add(micros(Instant::now().duration_since(*since))))
            }
        }
    }
}
