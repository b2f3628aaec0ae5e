//! Where a relay begins in a lane. Pure.

use divisi_store::{Epoch, Epochs, Lane, Pos};

use crate::carrier::Head;
use crate::epochs::beyond;

/// Where a relay goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// What comes after this position is published.
    pub pos: Pos,
    /// The carrier holds events that the log does not know.
    pub ahead: Option<Ahead>,
}

/// A lane in which the carrier holds more than the log: the log went back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// The lane.
    pub lane: Lane,
    /// What the carrier holds.
    pub carrier: Pos,
    /// Up to where the log shares it.
    pub log: Pos,
}

/// Where to go on in a lane, from what the carrier holds at its end, what was kept before, the source's list of
/// epochs and the log's end.
///
/// A head of an epoch that is not in the list was published by another life of this database. Where that one parted
/// from ours nobody here knows, so the cursor of our own life decides. Both are bounded by forks: what comes after a
/// fork is published again.
pub fn start_at(head: Head, kept: Option<(Epoch, Pos)>, list: &Epochs, lane: Lane, end: Pos) -> Start {
    let shared = |(epoch, pos): (Epoch, Pos)| {
        if list.known.contains(&epoch) { pos.min(beyond(list, lane, epoch)).min(end) } else { Pos(0) }
    };
    let kept = kept.map_or(Pos(0), shared);
    match head {
        Head::Empty => Start { pos: Pos(0), ahead: None },
        Head::Unknown => Start { pos: kept, ahead: None },
        Head::At(epoch, carrier) => {
            let log = if list.known.contains(&epoch) { shared((epoch, carrier)) } else { kept };
            let ahead = (log < carrier).then_some(Ahead { lane, carrier, log });
            Start { pos: log, ahead }
        }
    }
}

#[cfg(test)]
mod tests {
    use divisi_store::epoch::Fork;

    use super::*;

    const LANE: Lane = Lane(3);

    /// Epochs 10, 20 and 30; the lane ended at 5 when 20 began and at 8 when 30 began, and ends at 12 now.
    #[track_caller]
    fn check(head: Head, kept: Option<(i64, i64)>, pos: i64, ahead: Option<i64>) {
        let fork = |epoch, fork| Fork { lane: LANE, epoch: Epoch(epoch), fork: Pos(fork) };
        let list = Epochs { known: [10, 20, 30].map(Epoch).into(), forks: vec![fork(20, 5), fork(30, 8)] };
        let kept = kept.map(|(epoch, pos)| (Epoch(epoch), Pos(pos)));
        let carrier = if let Head::At(_, carrier) = head { carrier } else { Pos(0) };
        let ahead = ahead.map(|log| Ahead { lane: LANE, carrier, log: Pos(log) });
        assert_eq!(start_at(head, kept, &list, LANE, Pos(12)), Start { pos: Pos(pos), ahead });
    }

    fn at(epoch: i64, pos: i64) -> Head {
        Head::At(Epoch(epoch), Pos(pos))
    }

    #[test]
    fn a_relay_goes_on_behind_what_the_carrier_holds() {
        check(at(30, 11), Some((30, 4)), 11, None);
        check(at(30, 4), Some((30, 11)), 4, None);
        check(at(20, 7), None, 7, None);
    }

    #[test]
    fn what_the_carrier_holds_beyond_a_fork_is_published_again_and_named() {
        check(at(20, 11), None, 8, Some(8));
        check(at(10, 7), None, 5, Some(5));
        check(at(30, 99), None, 12, Some(12));
    }

    #[test]
    fn the_kept_cursor_decides_where_the_carrier_cannot_tell() {
        check(Head::Unknown, Some((30, 9)), 9, None);
        check(Head::Unknown, Some((10, 9)), 5, None);
        check(Head::Unknown, Some((25, 9)), 0, None);
        check(Head::Unknown, None, 0, None);
        check(at(25, 9), Some((20, 11)), 8, Some(8));
    }

    #[test]
    fn an_empty_carrier_gets_everything() {
        check(Head::Empty, Some((30, 9)), 0, None);
    }
}
