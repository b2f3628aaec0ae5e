//! The newest records of a log, in memory.
//!
//! The store tells a [`Tail`] of each commit while the writer is still held. It keeps, per lane, one contiguous run of
//! the newest records, bounded per topic, and wakes the fetches that wait for a lane that grew. A fetch takes what it
//! covers from here; everything else is the database's. What it says of a topic is one state of the log: ends, epochs
//! and records change together, under one lock that is never held across a wait.

mod run;
mod topic;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divisi_store::{Committed, Lane, Pos, Record};

pub use self::topic::{Life, Look, TopicTail};
pub use self::waiting::{TooManyWaiting, WAITING_MAX, Waiting};

/// Records that are kept of one topic at the most.
pub const RECORDS_MAX: usize = 8_192;
/// Bytes of records that are kept of one topic at the most. The newest record is kept whatever its size.
pub const BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a record that others have overtaken is waited for, before the database is asked for it. Commits of several
/// connections are told in any order, mostly within some microseconds; what another instance has written is never told.
pub const HOLE_MAX: Duration = Duration::from_millis(2);

/// How much of one topic is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailLimits {
    /// Records.
    pub records: usize,
    /// Bytes, as [`Record::size`] counts them.
    pub bytes: usize,
    /// See [`HOLE_MAX`].
    pub hole: Duration,
}

/// The tails of a log's topics. Told of commits as a [`Committed`].
#[derive(Debug)]
pub struct Tail {
    topics: BTreeMap<&'static str, Arc<TopicTail>>,
}

impl Tail {
    /// Empty tails of these topics.
    pub fn new(topics: &[&'static str], limits: TailLimits) -> Tail {
        Tail { topics: topics.iter().map(|topic| (*topic, Arc::new(TopicTail::new(limits)))).collect() }
    }

    /// The tail of one topic.
    pub fn topic(&self, topic: &str) -> Option<&Arc<TopicTail>> {
        self.topics.get(topic)
    }

    /// Wakes everybody who waits, for good: the log answers no more.
    pub fn close(&self) {
        self.topics.values().for_each(|topic| topic.close());
    }
}

impl Committed for Tail {
    fn committed(&self, records: &[Arc<Record>]) {
        for of_one in records.chunk_by(|a, b| a.topic == b.topic) {
            if let Some(topic) = of_one.first().and_then(|first| self.topic(&first.topic)) {
                topic.committed(of_one);
            }
        }
    }

    fn grew(&self, topic: &str, heads: &[(Lane, Pos)]) {
        if let Some(topic) = self.topic(topic) {
            topic.grew(heads);
        }
    }

    fn forget(&self) {
        self.topics.values().for_each(|topic| topic.forget());
    }
}

impl Default for TailLimits {
    fn default() -> TailLimits {
        TailLimits { records: RECORDS_MAX, bytes: BYTES_MAX, hole: HOLE_MAX }
    }
}

#[cfg(test)]
mod tests;
