//! The rules of entering as tables: lists are written as `epoch@fork`.

use super::*;

const LANE: Lane = Lane(5);

fn list(epochs: &[(i64, i64)]) -> Epochs {
    let fork = |(epoch, fork): &(i64, i64)| Fork { lane: LANE, epoch: Epoch(*epoch), fork: Pos(*fork) };
    Epochs {
        known: epochs.iter().map(|(epoch, _)| Epoch(*epoch)).collect(),
        forks: epochs.iter().map(fork).collect(),
    }
}

#[track_caller]
fn enters(theirs: &[(i64, i64)], mine: &[(i64, i64)], at: i64, kept: i64) {
    let entered = enter(&list(theirs), &list(mine), LANE, Pos(at));
    assert_eq!(entered, Ok(Entered { pos: Pos(kept), lost: at - kept }));
}

#[test]
fn a_reader_goes_back_to_where_both_histories_part() {
    enters(&[(1, 0), (5, 7)], &[(1, 0)], 7, 7);
    enters(&[(1, 0), (5, 7)], &[(1, 0)], 9, 7);
    // Siblings of one copy: the fork that counts is in the reader's own list.
    enters(&[(1, 0), (6, 9)], &[(1, 0), (5, 7)], 12, 7);
    // A fork in between that is lower than the last.
    enters(&[(1, 0), (5, 3), (6, 8)], &[(1, 0)], 9, 3);
    // The first epoch of all.
    enters(&[(1, 0), (5, 7)], &[], 0, 0);
}

#[test]
fn two_histories_without_a_common_epoch_are_two_databases() {
    let entered = enter(&list(&[(2, 0), (3, 4)]), &list(&[(1, 0)]), LANE, Pos(3));
    assert_eq!(entered, Err(CannotEnter::NoCommonEpoch));
}

#[test]
fn an_older_copy_is_known_though_its_source_had_forgotten_the_time_before() {
    let (mine, pruned) = (list(&[(1, 0), (2, 4), (3, 6)]), list(&[(3, 6), (4, 9)]));
    let kept = kept(&pruned, &mine);
    assert_eq!(kept, list(&[(1, 0), (2, 4), (3, 6), (4, 9)]));
    let older_copy = list(&[(1, 0), (2, 4), (9, 5)]);
    let entered = enter(&older_copy, &kept, LANE, Pos(11));
    assert_eq!(entered, Ok(Entered { pos: Pos(5), lost: 6 }));
}

#[test]
fn a_record_of_a_history_that_is_not_entered_is_never_applied() {
    let list = list(&[(1, 0), (3, 6)]);
    let judged = |epoch, pos| judge(&list, LANE, (Epoch(3), Pos(5)), (Epoch(epoch), Pos(pos)));
    assert_eq!(judged(3, 5), Verdict::Done);
    assert_eq!(judged(3, 6), Verdict::Apply);
    assert_eq!(judged(3, 7), Verdict::AskLog);
    assert_eq!(judged(1, 6), Verdict::Apply, "what both share");
    assert_eq!(judged(1, 7), Verdict::AskLog, "beyond the fork");
    assert_eq!(judged(2, 6), Verdict::AskLog, "an epoch that is not in the list");
}
