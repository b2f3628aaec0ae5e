//! One lane of an input: what took effect, what is in hand, and whether it may go on. Pure: time is handed in.

use std::collections::VecDeque;
use std::sync::Arc;

use divisi_store::mutation::{self, Mutation};
use divisi_store::{Epoch, Lane, Pos, Record};
use tokio::time::Instant;

use super::batch::Batch;
use crate::carrier::Hint;

/// A lane of an input.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) lane: Lane,
    /// The watermark: the last position that took effect.
    at: Pos,
    /// What is in hand, contiguous from the watermark on.
    items: VecDeque<Item>,
    bytes: usize,
    /// Since when a transaction is under way.
    pub(super) working: Option<Instant>,
    /// Whether the question that is on its way names this lane.
    pub(super) asked: bool,
    /// Where it ends at the source, as the last answer said.
    pub(super) head: Pos,
    /// When an answer last brought something for it, counted in answers.
    pub(super) served: u64,
    /// Whether this instance applies it.
    pub(super) mine: bool,
    /// Whether its last batch had a failure, so that the next one runs each handler in a savepoint.
    pub(super) careful: bool,
    /// Up to here one event a transaction: a commit failed, and it must show which of them is to blame.
    alone_until: Pos,
    /// How often the next event has failed in a way that is not known to pass.
    attempts: u32,
    /// Why the next event is to be parked without another attempt.
    condemned: Option<String>,
    hold: Hold,
}

/// Whether a lane may go on.
#[derive(Debug, Clone)]
enum Hold {
    Free,
    /// Not before `until`.
    BackOff {
        until: Instant,
        since: Instant,
        attempts: u32,
        alarmed: bool,
        /// Whether the store is what it waits for.
        for_store: bool,
    },
    /// Too much failed: one event at `until`.
    Paused {
        until: Instant,
    },
    /// For good.
    Stopped,
}

/// A record in hand.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) record: Arc<Record>,
    /// Where it lies on the carrier that brought it.
    pub(super) hint: Option<Hint>,
}

/// What became of a record that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in hand.
    Queued,
    /// It took effect before, or is in hand already.
    Repeat,
    /// Something before it is missing: it is never applied, the source is asked again.
    Gap,
    /// It is not wanted any more, since what comes before it was let go.
    Unasked,
}

impl Queue {
    pub(super) fn new(lane: Lane, at: Pos, mine: bool) -> Queue {
        Queue {
            lane,
            at,
            items: VecDeque::new(),
            bytes: 0,
            working: None,
            asked: false,
            head: Pos(0),
            served: 0,
            mine,
            careful: false,
            alone_until: Pos(0),
            attempts: 0,
            condemned: None,
            hold: Hold::Free,
        }
    }

    /// The last position that took effect.
    pub(super) fn at(&self) -> Pos {
        self.at
    }

    /// The last position in hand: what comes after it is wanted.
    pub(super) fn ahead(&self) -> Pos {
        self.items.back().map_or(self.at, |item| item.record.pos)
    }

    /// Bytes in hand.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the source has more of it, as far as is known.
    pub(super) fn is_behind(&self) -> bool {
        self.ahead() < self.head
    }

    /// Whether more may be asked for: at most one batch waits while another is applied.
    pub(super) fn wants(&self, batch_events_max: usize, now: Instant) -> bool {
        self.items.len() < batch_events_max && self.free(now)
    }

    /// Whether a batch may begin.
    pub(super) fn ready(&self, now: Instant) -> bool {
        self.working.is_none() && !self.items.is_empty() && self.free(now)
    }

    /// When it becomes free by itself, if it is not.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        match self.hold {
            Hold::BackOff { until, .. } | Hold::Paused { until } => (until > now).then_some(until),
            Hold::Free | Hold::Stopped => None,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(self.hold, Hold::Paused { .. })
    }

    /// A record has arrived, from the log or from a carrier.
    pub(super) fn take(&mut self, record: Arc<Record>, hint: Option<Hint>) -> Taken {
        let ahead = self.ahead();
        if record.pos <= ahead {
            return Taken::Repeat;
        }
        if record.pos != ahead.next() && !mutation::made(Mutation::AcceptGap) {
            return Taken::Gap;
        }
        self.bytes += record.size();
        self.items.push_back(Item { record, hint });
        Taken::Queued
    }

    /// The next batch; the records stay in hand until it has ended.
    pub(super) fn batch(&self, epoch: Epoch, events_max: usize) -> Batch {
        let trial = self.is_paused();
        let alone = self.is_alone() || self.condemned.is_some();
        Batch {
            lane: self.lane,
            epoch,
            base: self.at,
            items: self.items.iter().take(events_max.max(1)).cloned().collect(),
            careful: self.careful || trial,
            calls_max: if alone { 1 } else { usize::MAX },
            attempts: self.attempts,
            condemned: self.condemned.clone(),
            trial,
        }
    }

    /// The watermark is `to` now: what is at or below it leaves, and what does not follow on from it, too.
    pub(super) fn moved(&mut self, to: Pos) {
        if to != self.at {
            self.attempts = 0;
            self.condemned = None;
        }
        self.at = to;
        while let Some(item) = self.items.front().filter(|item| item.record.pos <= to) {
            self.bytes -= item.record.size();
            self.items.pop_front();
        }
        if self.items.front().is_some_and(|item| item.record.pos != to.next()) {
            self.let_go();
        }
    }

    /// The lane goes on; `true` when it did not.
    pub(super) fn free_again(&mut self) -> bool {
        let held = matches!(self.hold, Hold::BackOff { .. } | Hold::Paused { .. });
        if held {
            self.hold = Hold::Free;
        }
        held
    }

    /// Whether its last batch called one handler at the most.
    pub(super) fn is_alone(&self) -> bool {
        self.is_paused() || self.at < self.alone_until
    }

    /// Nothing more of this lane; what is in hand is let go.
    pub(super) fn stop(&mut self) {
        self.let_go();
        self.hold = Hold::Stopped;
    }

    /// Whether it waits after a failure, or has a moment ago.
    pub(super) fn waits(&self) -> bool {
        matches!(self.hold, Hold::BackOff { .. } | Hold::Paused { .. })
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.hold, Hold::Stopped)
    }

    /// One event at `until`, and nothing before.
    pub(super) fn pause(&mut self, until: Instant) {
        self.let_go();
        if !self.is_stopped() {
            self.hold = Hold::Paused { until };
        }
    }

    /// The next event failed in a way that is not known to pass: how often now.
    pub(super) fn failed(&mut self) -> u32 {
        self.attempts += 1;
        self.attempts
    }

    /// The next event is parked without another attempt.
    pub(super) fn condemn(&mut self, reason: String) {
        self.condemned = Some(reason);
    }

    /// What is in hand is tried one by one.
    pub(super) fn one_by_one(&mut self) {
        self.alone_until = self.ahead();
    }

    /// Waits and tries again: how often in a row now. What is in hand is let go, so that a lane that cannot go on
    /// does not keep others from going on.
    pub(super) fn back_off(&mut self, now: Instant, delay: impl FnOnce(u32) -> std::time::Duration) -> u32 {
        let (since, attempts, alarmed) = match self.hold {
            Hold::BackOff { since, attempts, alarmed, .. } => (since, attempts + 1, alarmed),
            _ => (now, 1, false),
        };
        self.let_go();
        if !self.is_stopped() {
            let until = now + delay(attempts);
            self.hold = Hold::BackOff { until, since, attempts, alarmed, for_store: false };
        }
        attempts
    }

    /// It backs off because of the store, and every other lane will hear when that works again.
    pub(super) fn waits_for_store(&mut self) {
        if let Hold::BackOff { for_store, .. } = &mut self.hold {
            *for_store = true;
        }
    }

    /// Another lane has found that the store works: whoever waits for it does so no longer.
    pub(super) fn store_works(&mut self, now: Instant) {
        if let Hold::BackOff { until, for_store: true, .. } = &mut self.hold {
            *until = now.min(*until);
        }
    }

    /// Whether it is time to tell somebody, for the first time in a row of attempts.
    pub(super) fn alarm(&mut self, now: Instant, after: std::time::Duration) -> bool {
        match &mut self.hold {
            Hold::BackOff { since, alarmed, .. } if !*alarmed && now.duration_since(*since) >= after => {
                *alarmed = true;
                true
            }
            _ => false,
        }
    }

    /// Another instance applies it from now on: what is in hand is let go, and whether it goes on is the other's matter.
    pub(super) fn give_away(&mut self) {
        self.mine = false;
        self.let_go();
        if !self.is_stopped() {
            self.hold = Hold::Free;
        }
    }

    fn free(&self, now: Instant) -> bool {
        match self.hold {
            _ if !self.mine => false,
            Hold::Free => true,
            Hold::BackOff { until, .. } | Hold::Paused { until } => until <= now,
            Hold::Stopped => false,
        }
    }

    /// A question that is on its way asks for what comes after this: its answer is of no use any more.
    fn let_go(&mut self) {
        self.items.clear();
        self.bytes = 0;
        self.asked = false;
    }
}

#[cfg(test)]
mod tests;
