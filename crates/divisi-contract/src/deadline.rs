//! Until when an answer is of use.

use std::time::{Duration, Instant};

/// An instant after which nobody waits for the answer any more.
///
/// It is an instant and not a duration, so what is left shrinks as it is passed on. On the wire it travels as what
/// is left, so that clocks of two machines need not agree. This crate reads no clock: `now` is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline: whoever waits, waits for ever.
    pub const NEVER: Deadline = Deadline(None);

    /// The deadline `after` from `now`; a span too long for the clock is [`Deadline::NEVER`].
    pub fn after(now: Instant, after: Duration) -> Deadline {
        Deadline(now.checked_add(after))
    }

    /// A deadline at `instant`.
    pub fn at(instant: Instant) -> Deadline {
        Deadline(Some(instant))
    }

    /// The instant, if there is one.
    pub fn instant(self) -> Option<Instant> {
        self.0
    }

    /// What is left at `now`: `None` when there is no deadline, zero when it has passed.
    pub fn left(self, now: Instant) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(now))
    }

    /// Whether it has passed at `now`.
    pub fn passed(self, now: Instant) -> bool {
        self.0.is_some_and(|at| at <= now)
    }

    /// The sooner of the two.
    #[must_use]
    pub fn sooner(self, other: Deadline) -> Deadline {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Deadline(Some(a.min(b))),
            (a, b) => Deadline(a.or(b)),
        }
    }
}
