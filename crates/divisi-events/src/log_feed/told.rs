//! What readers said of their progress, until it is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use divisi_store::{Epoch, Lane, Pos};
use tokio::time::Instant;

use super::progress::SEEN_EVERY;
use crate::fetch::LaneWanted;

/// Readers, counted by topic, whose progress is noted at the most. Beyond it none is: retention then waits for who
/// came first, and removes nothing that it must not.
pub(super) const READERS_MAX: usize = 1_024;

/// What readers said of their progress, each of its topics for itself.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<ByReader>);

/// By reader and topic.
type ByReader = BTreeMap<(Arc<str>, Arc<str>), OfReader>;

/// What is to be kept of one reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToKeep {
    pub(super) reader: Arc<str>,
    pub(super) topic: Arc<str>,
    /// Whether this log has never kept anything of it: it may not be registered.
    pub(super) new: bool,
    /// The lanes that have moved.
    pub(super) moved: Vec<(Lane, Epoch, Pos)>,
}

#[derive(Debug, Default)]
struct OfReader {
    lanes: BTreeMap<Lane, (Epoch, Pos)>,
    kept: BTreeMap<Lane, (Epoch, Pos)>,
    /// When it was last kept, if ever; and whether it was heard of since.
    kept_at: Option<Instant>,
    heard: bool,
}

impl Told {
    /// A reader said how far it is.
    pub(super) fn note(&self, reader: &Arc<str>, topic: &Arc<str>, lanes: &[LaneWanted]) {
        let mut told = self.lock();
        let key = (Arc::clone(reader), Arc::clone(topic));
        if told.len() >= READERS_MAX && !told.contains_key(&key) {
            return;
        }
        let of_reader = told.entry(key).or_default();
        of_reader.heard = true;
        of_reader.lanes.extend(lanes.iter().map(|told| (told.lane, (told.epoch, told.applied))));
    }

    /// What is to be kept now: of all readers, or of one; of those that have moved, or were heard of and not kept for
    /// a while. What could not be kept is to be [handed back](Told::not_kept).
    pub(super) fn take(&self, only: Option<&str>) -> Vec<ToKeep> {
        let now = Instant::now();
        let mut to_keep = Vec::new();
        for ((reader, topic), of_reader) in self.lock().iter_mut() {
            if only.is_some_and(|only| only != &**reader) {
                continue;
            }
            let moved = of_reader.lanes.iter().filter(|(lane, at)| of_reader.kept.get(lane) != Some(at));
            let moved: Vec<_> = moved.map(|(lane, (epoch, pos))| (*lane, *epoch, *pos)).collect();
            let new = of_reader.kept_at.is_none();
            let seen = of_reader.kept_at.is_none_or(|at| now.duration_since(at) >= SEEN_EVERY);
            if !of_reader.heard || (moved.is_empty() && !seen) {
                continue;
            }
            of_reader.heard = false;
            of_reader.kept_at = Some(now);
            of_reader.kept.extend(moved.iter().map(|(lane, epoch, pos)| (*lane, (*epoch, *pos))));
            to_keep.push(ToKeep { reader: Arc::clone(reader), topic: Arc::clone(topic), new, moved });
        }
        to_keep
    }

    /// Gives back what could not be kept, so that the next time tries again.
    pub(super) fn not_kept(&self, to_keep: &ToKeep) {
        let key = (Arc::clone(&to_keep.reader), Arc::clone(&to_keep.topic));
        if let Some(of_reader) = self.lock().get_mut(&key) {
            of_reader.heard = true;
            of_reader.kept_at = None;
            of_reader.kept.clear();
        }
    }

    /// Forgets a reader.
    pub(super) fn drop_reader(&self, reader: &str) {
        self.lock().retain(|(name, _), _| &**name != reader);
    }

    fn lock(&self) -> MutexGuard<'_, ByReader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
