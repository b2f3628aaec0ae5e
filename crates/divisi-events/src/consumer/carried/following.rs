//! One lane that follows a carrier: where it is read from, and what is in hand of it.
//!
//! Records wait in the hand until their turn comes. The room is shared by the lanes of an input.

use std::collections::BTreeMap;
use std::sync::Arc;

use divisi_store::{Epoch, Epochs, Lane, Pos, Record};
use tokio::time::Instant;

use crate::carrier::Hint;
use crate::epochs::{self, Verdict};
use crate::lane::LaneInput;

/// Bytes in hand that each lane of an input can have, and one record more. What is not kept is missed, and read from the log.
pub(super) const HAND_BYTES_OF_A_LANE: usize = 64 * 1024;
/// Bytes in hand of all lanes together up to which a lane can have more than its own. While much is under way, lanes are far from having
/// equally much of it, and one that falls to the log for that stays there for [`HOLD_MIN`](crate::lane::HOLD_MIN).
pub(super) const HANDS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records of one position, each of another epoch, that are looked at for the one that is ours.
const SAME_POSITION_MAX: usize = 4;

/// One lane.
pub(super) struct Following {
    pub(super) lane: Lane,
    /// Whether this instance applies it. Of others nothing is subscribed to, kept, or asked.
    pub(super) mine: bool,
    pub(super) input: LaneInput,
    pub(super) hand: BTreeMap<(Pos, Epoch), (Arc<Record>, Hint)>,
    /// Bytes in hand.
    pub(super) bytes: usize,
    room: Room,
    /// Where to resume.
    pub(super) hint: Option<Hint>,
}

/// What a lane may have in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Nothing: it is stopped.
    None,
    /// Its own: it waits, and what it borrowed would stay with it.
    Own,
    /// More, as long as all lanes together leave it.
    Shared,
}

impl Following {
    /// One whose watermark is `at`.
    pub(super) fn new((lane, at): (Lane, Pos), mine: bool, hint: Option<Hint>, now: Instant) -> Following {
        let input = LaneInput::new(at, hint.is_some(), now.into_std());
        Following { lane, mine, input, hand: BTreeMap::new(), bytes: 0, room: Room::Shared, hint }
    }

    /// The next record, if it is in hand.
    pub(super) fn next(&self, list: &Epochs, epoch: Epoch, at: Pos) -> Option<(Arc<Record>, Hint)> {
        let from = (at.next(), Epoch(i64::MIN));
        let ours = |((pos, of), _): &(&(Pos, Epoch), _)| {
            epochs::judge(list, self.lane, (epoch, at), (*of, *pos)) == Verdict::Apply
        };
        let (_, (record, hint)) = self.hand.range(from..).take(SAME_POSITION_MAX).find(ours)?;
        Some((Arc::clone(record), hint.clone()))
    }

    /// Whether there is nothing to do for a lane whose watermark is `at`: most lanes, most of the time.
    pub(super) fn rests(&self, at: Pos) -> bool {
        self.hand.is_empty() && self.input.at() == at && self.input.next_look().is_none()
    }

    /// Whether there is room for one more record, where all lanes together have so many bytes in hand.
    pub(super) fn has_room(&self, all: impl FnOnce() -> usize) -> bool {
        match self.room {
            Room::None => false,
            Room::Own => self.bytes < HAND_BYTES_OF_A_LANE,
            Room::Shared => self.bytes < HAND_BYTES_OF_A_LANE || all() < HANDS_BYTES_MAX,
        }
    }

    pub(super) fn keep(&mut self, record: Arc<Record>, hint: Hint) {
        if !self.input.keeps_records() {
            return;
        }
        let size = record.size();
        // A repeat may be of another size.
        if let Some((before, _)) = self.hand.insert((record.pos, record.epoch), (record, hint)) {
            self.bytes -= before.size();
        }
        self.bytes += size;
    }

    /// From now on it has this room; what was in hand beyond it is missed.
    pub(super) fn has(&mut self, room: Room) {
        if std::mem::replace(&mut self.room, room) == room || room == Room::Shared {
            return;
        }
        let max = if room == Room::None { 0 } else { HAND_BYTES_OF_A_LANE };
        while self.bytes > max {
            let Some((_, (record, _))) = self.hand.pop_last() else { break };
            self.bytes -= record.size();
        }
    }

    /// The watermark is `at`: what is at or below it leaves.
    pub(super) fn reached(&mut self, at: Pos, now: Instant) {
        self.input.advanced(at, now.into_std());
        while let Some(first) = self.hand.first_entry().filter(|first| first.key().0 <= at) {
            let (record, hint) = first.remove();
            self.bytes -= record.size();
            self.hint = Some(hint);
        }
    }

    /// Keeps in hand what is to stay.
    pub(super) fn forget(&mut self, stays: impl Fn(Lane, (Epoch, Pos)) -> bool) {
        let lane = self.lane;
        self.hand.retain(|(pos, epoch), _| stays(lane, (*epoch, *pos)));
        self.bytes = self.hand.values().map(|(record, _)| record.size()).sum();
    }
}
