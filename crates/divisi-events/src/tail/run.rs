//! One lane: a contiguous run of its newest records.
//!
//! Commits of several connections are told in any order: what is told before its time waits beside the run until the hole
//! is filled. A hole that stays is somebody else's commit, of which only the lane's end is told: the run begins anew behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use divisi_store::{Pos, Record};
use tokio::time::Instant;

/// Records of one lane that wait for a hole to be filled, at the most, and their bytes.
const EARLY_MAX: (usize, usize) = (32, 128 * 1024);

/// The newest records of one lane, without a hole, and the lane's end.
#[derive(Debug, Default)]
pub(super) struct Run {
    records: VecDeque<Arc<Record>>,
    /// Where the lane ended when nothing of it had been told.
    base: Option<Pos>,
    head: Option<Pos>,
    /// Since when something is missing before the lane's end.
    hole: Option<Instant>,
    /// What comes behind the hole, in order.
    early: Vec<Arc<Record>>,
}

/// Where a reader stands in regard to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// At the lane's end, as far as is known: nothing is new.
    AtEnd,
    /// What comes next is in the run.
    Covered,
    /// What comes next has been committed and should be told any moment: the database is worth asking only then.
    Soon(Instant),
    /// What comes next is in the database.
    Behind,
}

/// What a record has done to a run.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// What had to go, since the run begins anew.
    pub(super) cut: VecDeque<Arc<Record>>,
    /// The size of each record that the run has gained at its end.
    pub(super) gained: Vec<usize>,
}

impl Run {
    /// The lane's end; `None` until something is known of it.
    pub(super) fn head(&self) -> Option<Pos> {
        self.head
    }

    /// The lane ends at `head` at least.
    pub(super) fn raise_head(&mut self, head: Pos, now: Instant) {
        if self.head.is_none() {
            self.base = Some(head);
        }
        self.head = self.head.max(Some(head));
        self.note_hole(now);
    }

    /// Takes a record in. What stays missing for `patience` before it is not waited for any longer.
    pub(super) fn push(&mut self, record: Arc<Record>, now: Instant, patience: Duration) -> Pushed {
        let mut pushed = Pushed::default();
        let (pos, end) = (record.pos, self.end());
        self.head = self.head.max(Some(pos));
        match end {
            // Told after a later one, or twice: the run behind it is worth more. An empty one may begin with the lane's last.
            Some(end) if pos < end || (pos == end && !self.records.is_empty()) => return pushed,
            Some(end) if pos > end.next() => {
                let place = self.early.partition_point(|early| early.pos < pos);
                if self.early.get(place).is_none_or(|early| early.pos != pos) {
                    self.early.insert(place, record);
                }
                self.hole.get_or_insert(now);
                let waited = self.hole.is_some_and(|since| now.duration_since(since) >= patience);
                if waited || self.has_much_early() {
                    pushed.cut = std::mem::take(&mut self.records);
                    self.begin_anew(&mut pushed);
                    self.hole = None;
                }
            }
            _ => {
                pushed.gained.push(record.size());
                self.records.push_back(record);
                self.join(&mut pushed);
                // What is still missing has not been missed for long.
                self.hole = None;
            }
        }
        self.note_hole(now);
        pushed
    }

    /// Lets the oldest record go.
    pub(super) fn pop_oldest(&mut self) -> Option<Arc<Record>> {
        let oldest = self.records.pop_front();
        if self.records.is_empty() {
            self.base = oldest.as_ref().map(|oldest| oldest.pos).or(self.base);
        }
        oldest
    }

    /// Where a reader stands that has everything up to `after`.
    pub(super) fn stand(&self, after: Pos, now: Instant, patience: Duration) -> Stand {
        if self.head.is_some_and(|head| after >= head) {
            return Stand::AtEnd;
        }
        if self.covers(after) {
            return Stand::Covered;
        }
        match self.hole.map(|since| since + patience) {
            Some(by) if by > now && self.end().is_some_and(|end| after >= end) => Stand::Soon(by),
            _ => Stand::Behind,
        }
    }

    /// Whether what comes after `after` is in the run.
    pub(super) fn covers(&self, after: Pos) -> bool {
        let (first, last) = (self.records.front(), self.records.back());
        first.is_some_and(|first| first.pos <= after.next()) && last.is_some_and(|last| after < last.pos)
    }

    /// The records after `after`, which the run covers.
    pub(super) fn after(&self, after: Pos) -> impl Iterator<Item = &Arc<Record>> {
        let first = self.records.front().map_or(Pos(0), |first| first.pos);
        let done = usize::try_from(after.0 - first.0 + 1).unwrap_or(0);
        self.records.range(done.min(self.records.len())..)
    }

    /// The last position of the run.
    fn end(&self) -> Option<Pos> {
        self.records.back().map(|last| last.pos).or(self.base)
    }

    fn note_hole(&mut self, now: Instant) {
        if self.end() < self.head {
            self.hole.get_or_insert(now);
        } else {
            self.hole = None;
        }
    }

    fn has_much_early(&self) -> bool {
        let (records_max, bytes_max) = EARLY_MAX;
        self.early.len() > records_max
            || self.early.iter().map(|early| early.size()).sum::<usize>() > bytes_max
    }

    /// Takes in what has waited for the record at the end.
    fn join(&mut self, pushed: &mut Pushed) {
        while let (Some(end), Some(first)) = (self.end(), self.early.first())
            && first.pos <= end.next()
        {
            let record = self.early.remove(0);
            if record.pos == end.next() {
                pushed.gained.push(record.size());
                self.records.push_back(record);
            }
        }
    }

    /// Begins with the last of what waits that has no hole.
    fn begin_anew(&mut self, pushed: &mut Pushed) {
        let gaps = self.early.windows(2).rposition(|pair| pair[0].pos.next() != pair[1].pos);
        let from = gaps.map_or(0, |gap| gap + 1);
        for record in self.early.drain(..).skip(from) {
            pushed.gained.push(record.size());
            self.records.push_back(record);
        }
    }
}
