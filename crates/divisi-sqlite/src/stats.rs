//! What a store has done so far, for tests, benchmarks and metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Groups that were committed: one sync each, where they changed something.
    pub commits: u64,
    /// Transactions that were committed in them.
    pub members: u64,
    /// The largest group.
    pub members_max: u64,
    /// Groups that ended without a commit: nothing was in them, or they broke.
    pub undone: u64,
    /// Commits whose outcome is not known.
    pub unknown: u64,
    /// Checkpoints of the write-ahead log.
    pub checkpoints: u64,
    /// Groups after which the writer was free again.
    pub ended: u64,
    /// Pages in the write-ahead log after the last commit, or since it last began anew.
    pub wal_pages: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) members: AtomicU64,
    pub(crate) members_max: AtomicU64,
    pub(crate) undone: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) wal_pages: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            commits: read(&self.commits),
            members: read(&self.members),
            members_max: read(&self.members_max),
            undone: read(&self.undone),
            unknown: read(&self.unknown),
            checkpoints: read(&self.checkpoints),
            ended: read(&self.ended),
            wal_pages: read(&self.wal_pages),
        }
    }
}
