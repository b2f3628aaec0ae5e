//! A trouble that passes: told once when it begins and once when it ends, with growing spans between attempts.

use std::time::Duration;

use tokio::time::Instant;

use super::options::Backoff;

/// Whether something fails at the moment.
#[derive(Debug)]
pub(super) struct Trouble {
    backoff: Backoff,
    attempts: u32,
    since: Option<Instant>,
    until: Option<Instant>,
}

impl Trouble {
    pub(super) fn new(backoff: Backoff) -> Trouble {
        Trouble { backoff, attempts: 0, since: None, until: None }
    }

    /// It failed, again or for the first time: `true` for the first time.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        self.attempts += 1;
        self.until = Some(now + self.backoff.after(self.attempts));
        self.since.replace(self.since.unwrap_or(now)).is_none()
    }

    /// It is away for a reason, which is no trouble: later, and nobody is told.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.attempts += 1;
        self.until = Some(now + self.backoff.after(self.attempts));
    }

    /// It works: how long it did not, if it did not.
    pub(super) fn over(&mut self, now: Instant) -> Option<Duration> {
        self.attempts = 0;
        self.until = None;
        self.since.take().map(|since| now.duration_since(since))
    }

    /// Whether the last attempt failed.
    pub(super) fn goes_on(&self) -> bool {
        self.attempts > 0
    }

    /// Not before this; `None`: now.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}
