//! The rules for a source that went back in time. Pure: shared by consumer, feed and relay.
//!
//! A restored backup or a promoted standby uses positions again. So positions live in epochs, and a source keeps a
//! list of where each lane ended when an epoch began. The consumer keeps the list of the source that it entered.
//! Where both lists part, the two histories part.

use divisi_store::epoch::Fork;
use divisi_store::mutation::{self, Mutation};
use divisi_store::{Epoch, Epochs, Lane, Pos};

/// What entering the source's epoch of today means for one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// The position from which to read on.
    pub pos: Pos,
    /// How many events took effect here that the source no longer knows.
    pub lost: i64,
}

/// Why a source's epoch cannot be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotEnter {
    /// The two lists have nothing in common.
    #[error(
        "the source's history and the one that was read here have no epoch in common: this is another database; \
         give the consumer a new name to read it from its start"
    )]
    NoCommonEpoch,
}

/// What is to be done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect before: skip it.
    Done,
    /// It is the next one.
    Apply,
    /// Something is missing before it, or it is of another history: ask the log.
    AskLog,
}

/// Where the lane of a reader that stands at `pos` goes on in the source's history.
///
/// `theirs` is the source's list, `mine` the one that was stored when the reader entered; both for this lane at
/// least. Everything beyond the point where they part, in **either** list, is another history.
pub fn enter(theirs: &Epochs, mine: &Epochs, lane: Lane, pos: Pos) -> Result<Entered, CannotEnter> {
    if mine.known.is_empty() {
        return Ok(Entered { pos: Pos(0), lost: pos.0 });
    }
    let kept = pos.min(part(theirs, mine, lane)?);
    Ok(Entered { pos: kept, lost: pos.0 - kept.0 })
}

/// The last position that both histories share, as far as their lists say.
fn part(theirs: &Epochs, mine: &Epochs, lane: Lane) -> Result<Pos, CannotEnter> {
    if mutation::made(Mutation::IgnoreEpoch) {
        return Ok(Pos(i64::MAX));
    }
    if mutation::made(Mutation::OneList) {
        return Ok(beyond(theirs, lane, mine.current()));
    }
    if mutation::made(Mutation::LastForkOnly) {
        let last = theirs.forks.iter().rev().find(|fork| fork.lane == lane);
        return Ok(last.map_or(Pos(0), |fork| fork.fork));
    }
    let common = theirs.known.iter().rev().find(|epoch| mine.known.contains(epoch));
    let Some(&common) = common else { return Err(CannotEnter::NoCommonEpoch) };
    Ok(beyond(theirs, lane, common).min(beyond(mine, lane, common)))
}

/// The list that a reader keeps when it has entered: the source's, and what the source has forgotten of the time before.
///
/// A source forgets the oldest epochs when nobody needs them, and then an older copy of it is put back, which knows no
/// others. Up to their newest common epoch both histories are one, so what the reader knows of that time stays true.
pub fn kept(theirs: &Epochs, mine: &Epochs) -> Epochs {
    let Some(&oldest) = theirs.known.first() else { return theirs.clone() };
    let known = mine.known.iter().copied().filter(|epoch| *epoch < oldest);
    let forks = mine.forks.iter().copied().filter(|fork| fork.epoch < oldest);
    Epochs {
        known: known.chain(theirs.known.iter().copied()).collect(),
        forks: forks.chain(theirs.forks.iter().copied()).collect(),
    }
}

/// What is to be done with a record of `epoch` at `pos`, for a lane that has entered `entered` and stands at `at`.
///
/// `list` is the source's list as it was when the epoch was entered.
pub fn judge(list: &Epochs, lane: Lane, (entered, at): (Epoch, Pos), (epoch, pos): (Epoch, Pos)) -> Verdict {
    if !belongs(list, lane, entered, (epoch, pos)) {
        return Verdict::AskLog;
    }
    match pos {
        pos if pos <= at => Verdict::Done,
        pos if pos == at.next() || mutation::made(Mutation::AcceptGap) => Verdict::Apply,
        _ => Verdict::AskLog,
    }
}

/// Whether a record of `epoch` at `pos` is of the history that a reader has entered with `entered` and its list.
pub fn belongs(list: &Epochs, lane: Lane, entered: Epoch, (epoch, pos): (Epoch, Pos)) -> bool {
    let known = || list.known.contains(&epoch) || mutation::made(Mutation::RecordWithoutList);
    let ours = epoch == entered || (known() && pos <= beyond(list, lane, epoch));
    ours || mutation::made(Mutation::IgnoreEpoch)
}

/// The last position of `lane` that is shared with `epoch`: the least fork of all later epochs.
pub fn beyond(list: &Epochs, lane: Lane, epoch: Epoch) -> Pos {
    let later = |fork: &&Fork| fork.lane == lane && fork.epoch > epoch;
    list.forks.iter().filter(later).map(|fork| fork.fork).min().unwrap_or(Pos(i64::MAX))
}

#[cfg(test)]
mod tests;
