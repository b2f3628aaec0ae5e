use std::sync::Arc;
use std::time::Duration;

use divisi_store::{Epoch, Lane, Pos};

use super::{READERS_MAX, SEEN_EVERY, Told};
use crate::fetch::LaneWanted;

const EPOCH: Epoch = Epoch(9);

fn lanes(lanes: &[(u16, i64)]) -> Vec<LaneWanted> {
    let of = |&(lane, applied): &(u16, i64)| LaneWanted {
        lane: Lane(lane),
        epoch: EPOCH,
        pos: Pos(applied + 5),
        applied: Pos(applied),
    };
    lanes.iter().map(of).collect()
}

fn note(told: &Told, reader: &str, at: &[(u16, i64)]) {
    told.note(&reader.into(), &"posts".into(), &lanes(at));
}

/// Lanes and positions of the one that is to be kept.
fn moved(told: &Told) -> Vec<(u16, i64)> {
    let to_keep = told.take(None);
    assert_eq!(to_keep.len(), 1, "{to_keep:?}");
    to_keep[0].moved.iter().map(|(lane, _, pos)| (lane.0, pos.0)).collect()
}

#[tokio::test(start_paused = true)]
async fn only_what_has_moved_is_kept_and_what_was_applied_counts() {
    let told = Told::default();
    note(&told, "search", &[(1, 4), (2, 0)]);
    assert_eq!(moved(&told), [(1, 4), (2, 0)]);
    assert_eq!(told.take(None), [], "nothing was heard since");
    note(&told, "search", &[(1, 4), (2, 0)]);
    assert_eq!(told.take(None), [], "nothing has moved");
    note(&told, "search", &[(2, 7)]);
    note(&told, "search", &[(1, 3)]);
    assert_eq!(moved(&told), [(1, 3), (2, 7)], "also backwards");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stands_still_is_seen_now_and_then() {
    let told = Told::default();
    note(&told, "search", &[(1, 4)]);
    moved(&told);
    tokio::time::advance(SEEN_EVERY).await;
    assert_eq!(told.take(None), [], "it was not heard of");
    note(&told, "search", &[(1, 4)]);
    assert_eq!(moved(&told), [], "it was, and has not moved");
    tokio::time::advance(SEEN_EVERY - Duration::from_secs(1)).await;
    note(&told, "search", &[(1, 4)]);
    assert_eq!(told.take(None), [], "not more often");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_kept_is_tried_again() {
    let told = Told::default();
    note(&told, "search", &[(1, 4)]);
    moved(&told);
    note(&told, "search", &[(2, 6)]);
    let to_keep = told.take(None);
    assert!(!to_keep[0].new);
    to_keep.iter().for_each(|to_keep| told.not_kept(to_keep));
    let again = told.take(None);
    assert!(again[0].new, "whether it is registered is not known");
    assert_eq!(again[0].moved, [(Lane(1), EPOCH, Pos(4)), (Lane(2), EPOCH, Pos(6))], "all of it");
}

#[tokio::test(start_paused = true)]
async fn readers_are_counted_and_one_can_be_taken_alone() {
    let told = Told::default();
    for n in 0..READERS_MAX + 10 {
        note(&told, &format!("search.{n}"), &[(1, 1)]);
    }
    assert_eq!(told.take(Some("search.7")).len(), 1);
    told.drop_reader("search.8");
    let left = told.take(None);
    assert_eq!(left.len(), READERS_MAX - 2);
    assert!(left.iter().all(|to_keep| to_keep.reader != Arc::from("search.8")));
}
