//! How many transactions of an input are begun at once where the store waits for a server. Pure: time is handed in.
//!
//! Many at a time do not go through faster than few, once there is more to do than to wait for: each lane then has a batch of few events,
//! and its BEGIN, COMMIT and sync cost as much as for many. But where each has an event or two, few at a time would only make them late.

use std::time::Duration;

use tokio::time::Instant;

use super::options::{MANY_EVENTS, MANY_EVENTS_STILL, QUICK_FOR, TRANSACTIONS_OF_MANY};

/// How much the last transaction counts among those before.
const OF_THE_LAST: f32 = 1.0 / 32.0;
/// What was before a rest of this length says nothing of what comes.
const REST: Duration = Duration::from_secs(1);

/// What an input's transactions have had to do of late.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Events of each.
    events: f32,
    /// Whether each has many, so that few begin.
    many: bool,
    /// When the last one ended.
    ended: Option<Instant>,
}

/// What may begin now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MayBegin {
    /// So many transactions.
    pub(super) n: usize,
    /// One more at this time, though none ends before.
    pub(super) next: Instant,
}

impl Pace {
    /// A transaction has ended well, with so many events.
    pub(super) fn ended(&mut self, n_events: u64, now: Instant) {
        if self.ended.is_some_and(|last| now.saturating_duration_since(last) > REST) {
            *self = Pace::default();
        }
        self.ended = Some(now);
        let n_events = u16::try_from(n_events).unwrap_or(u16::MAX);
        self.events += (f32::from(n_events) - self.events) * OF_THE_LAST;
        // Few at a time are larger by themselves: measured by the same, whoever was held back once would be held back as long as the load
        // lasts. By much more, an input at its limit would go to and fro.
        let larger = MANY_EVENTS_STILL / MANY_EVENTS;
        if self.many && self.events < MANY_EVENTS_STILL {
            (self.many, self.events) = (false, self.events / larger);
        } else if !self.many && self.events >= MANY_EVENTS {
            (self.many, self.events) = (true, self.events * larger);
        }
    }

    /// What may begin beside the transactions that have begun at these times.
    pub(super) fn may_begin(&self, under_way: impl Iterator<Item = Instant>, now: Instant) -> MayBegin {
        let mut begin = MayBegin { n: usize::MAX, next: now + QUICK_FOR };
        if !self.many {
            return begin;
        }
        begin.n = TRANSACTIONS_OF_MANY;
        // One that takes longer waits for something, and is in nobody's way.
        for until in under_way.map(|since| since + QUICK_FOR).filter(|until| *until > now) {
            begin.n = begin.n.saturating_sub(1);
            begin.next = begin.next.min(until);
        }
        begin
    }
}

#[cfg(test)]
mod tests;
