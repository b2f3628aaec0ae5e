//! A fetch whose numbers have been looked at.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::LANES;
use divisi_contract::{CallError, CauseKind};
use divisi_store::outbox::PageWanted;
use divisi_store::{Epoch, Lane, Pos};

use crate::fetch::{BYTES_MAX, Fetch, LaneWanted, RECORDS_MAX, WAIT_MS_MAX};

/// What a fetch wants, within the limits.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) topic: Arc<str>,
    pub(super) reader: Arc<str>,
    /// The lanes in the order in which they are to be served, each after a position.
    pub(super) lanes: Vec<(Lane, Pos)>,
    /// The same with epochs and progress.
    pub(super) told: Vec<LaneWanted>,
    pub(super) max_records: usize,
    pub(super) max_bytes: usize,
    pub(super) wait: Duration,
}

/// How the reader's epochs stand to the source's of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// All lanes are in it.
    Entered,
    /// Some lane has not entered it yet.
    Older,
    /// Some lane is in this epoch, which is above it.
    Above(Epoch),
}

impl Wanted {
    /// Brings the numbers within the limits; a fetch that makes no sense is refused before anything runs.
    pub(super) fn new<R>(fetch: Fetch) -> Result<Wanted, CallError<R>> {
        lanes_make_sense(&fetch.lanes)?;
        Ok(Wanted {
            topic: fetch.topic,
            reader: fetch.reader,
            lanes: fetch.lanes.iter().map(|wanted| (wanted.lane, wanted.pos)).collect(),
            told: fetch.lanes,
            max_records: fetch.max_records.min(RECORDS_MAX) as usize,
            max_bytes: fetch.max_bytes.clamp(1, BYTES_MAX) as usize,
            wait: Duration::from_millis(fetch.wait_ms.min(WAIT_MS_MAX).into()),
        })
    }

    /// How the reader stands to `current`. Above wins: that reader knows of a life that this log does not.
    pub(super) fn standing(&self, current: Epoch) -> Standing {
        let epochs = || self.told.iter().map(|lane| lane.epoch);
        match epochs().max() {
            Some(highest) if highest > current => Standing::Above(highest),
            _ if epochs().any(|epoch| epoch < current) => Standing::Older,
            _ => Standing::Entered,
        }
    }

    pub(super) fn page(&self, max_records: usize) -> PageWanted {
        PageWanted {
            topic: Arc::clone(&self.topic),
            lanes: self.lanes.clone(),
            max_records,
            max_bytes: self.max_bytes,
        }
    }
}

/// Refuses lanes that no topic has, that come twice, and numbers below zero: all of them are another program's bug.
pub(super) fn lanes_make_sense<R>(lanes: &[LaneWanted]) -> Result<(), CallError<R>> {
    let mut seen = [false; LANES as usize];
    for &LaneWanted { lane, epoch, pos, applied } in lanes {
        let problem = match seen.get_mut(usize::from(lane.0)) {
            None => format!("lane {lane} was named, a topic has lanes 0 to {}", LANES - 1),
            Some(true) => format!("lane {lane} was named twice"),
            Some(_) if epoch.0 < 0 || applied.0 < 0 || pos < applied => {
                format!("lane {lane} was named at {pos}, {applied} of it applied, in epoch {epoch}: no place")
            }
            Some(new) => {
                *new = true;
                continue;
            }
        };
        return Err(CallError::not_run(CauseKind::Malformed, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
