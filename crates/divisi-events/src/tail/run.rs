//! One lane: a contiguous run of its newest records.

use std::collections::VecDeque;
use std::sync::Arc;

use divisi_store::{Pos, Record};

/// The newest records of one lane, without a hole, and the lane's end.
#[derive(Debug, Default)]
pub(super) struct Run {
    records: VecDeque<Arc<Record>>,
    head: Option<Pos>,
}

/// Where a reader stands in regard to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// At the lane's end, as far as is known: nothing is new.
    AtEnd,
    /// What comes next is in the run.
    Covered,
    /// What comes next is in the database.
    Behind,
}

impl Run {
    /// The lane's end; `None` until something is known of it.
    pub(super) fn head(&self) -> Option<Pos> {
        self.head
    }

    /// The lane ends at `head` at least.
    pub(super) fn raise_head(&mut self, head: Pos) {
        self.head = self.head.max(Some(head));
    }

    /// Whether the run has come to this position already, or has begun behind it.
    pub(super) fn has_passed(&self, pos: Pos) -> bool {
        self.records.back().is_some_and(|last| pos <= last.pos)
    }

    /// Takes a record in at the end. If it does not follow the last one, a new run begins with it, and what had to go
    /// is brought back.
    pub(super) fn push(&mut self, record: Arc<Record>) -> VecDeque<Arc<Record>> {
        self.raise_head(record.pos);
        let follows = self.records.back().is_none_or(|last| last.pos.next() == record.pos);
        let cut = if follows { VecDeque::new() } else { std::mem::take(&mut self.records) };
        self.records.push_back(record);
        cut
    }

    /// Lets the oldest record go.
    pub(super) fn pop_oldest(&mut self) -> Option<Arc<Record>> {
        self.records.pop_front()
    }

    /// Where a reader stands that has everything up to `after`.
    pub(super) fn stand(&self, after: Pos) -> Stand {
        if self.head.is_some_and(|head| after >= head) {
            return Stand::AtEnd;
        }
        match (self.records.front(), self.records.back()) {
            (Some(first), Some(last)) if first.pos <= after.next() && after < last.pos => Stand::Covered,
            _ => Stand::Behind,
        }
    }

    /// The records after `after`, which the run covers.
    pub(super) fn after(&self, after: Pos) -> impl Iterator<Item = &Arc<Record>> {
        let first = self.records.front().map_or(Pos(0), |first| first.pos);
        let done = usize::try_from(after.0 - first.0 + 1).unwrap_or(0);
        self.records.range(done.min(self.records.len())..)
    }
}
