//! Whether it is time to tell somebody that a peer is away.

use std::time::Duration;

use tokio::time::Instant;

/// How long a peer may be away before it is a warning. 5 s: a process starts, or ends and starts again, in less, and
/// then it was no trouble.
pub(super) const TOLD_AFTER: Duration = Duration::from_secs(5);

/// Since when a peer cannot be reached, and whether somebody was told.
#[derive(Debug, Default)]
pub(super) struct Absence {
    since: Option<Instant>,
    told: bool,
}

impl Absence {
    /// It could not be reached: whether to tell somebody now, which is once for a time of trouble. What does not pass
    /// by waiting, such as a peer that speaks another protocol, is told at once.
    pub(super) fn seen(&mut self, now: Instant, passes: bool) -> bool {
        let since = *self.since.get_or_insert(now);
        let due = !passes || now.duration_since(since) >= TOLD_AFTER;
        due && !std::mem::replace(&mut self.told, true)
    }

    /// It is there.
    pub(super) fn over(&mut self) {
        *self = Absence::default();
    }
}

#[cfg(test)]
mod tests;
