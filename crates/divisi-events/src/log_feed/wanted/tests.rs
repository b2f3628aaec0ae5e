use divisi_contract::{CallError, CauseKind, NoRefusal};
use divisi_store::{Epoch, Lane, Pos};

use super::{Standing, Wanted};
use crate::fetch::{BYTES_MAX, Fetch, LaneWanted, RECORDS_MAX, WAIT_MS_MAX};

fn lane(lane: u16, epoch: i64, pos: i64, applied: i64) -> LaneWanted {
    LaneWanted { lane: Lane(lane), epoch: Epoch(epoch), pos: Pos(pos), applied: Pos(applied) }
}

fn wanted(lanes: Vec<LaneWanted>, most: u32) -> Result<Wanted, CallError<NoRefusal>> {
    Wanted::new(Fetch {
        topic: "posts".into(),
        reader: "search".into(),
        lanes,
        max_records: most,
        max_bytes: most,
        wait_ms: most,
    })
}

#[test]
fn numbers_are_brought_within_the_limits() {
    let most = wanted(vec![lane(0, 0, 0, 0)], u32::MAX).expect("it makes sense");
    assert_eq!((most.max_records, most.max_bytes), (RECORDS_MAX as usize, BYTES_MAX as usize));
    assert_eq!(most.wait.as_millis(), u128::from(WAIT_MS_MAX));
    let least = wanted(vec![], 0).expect("it makes sense");
    assert_eq!((least.max_records, least.max_bytes), (0, 1), "one record always has room");
}

#[test]
fn what_makes_no_sense_did_not_run() {
    for lanes in [
        vec![lane(64, 0, 0, 0)],
        vec![lane(u16::MAX, 0, 0, 0)],
        vec![lane(1, 0, 0, 0), lane(2, 0, 0, 0), lane(1, 0, 5, 0)],
        vec![lane(1, 0, -1, -1)],
        vec![lane(1, i64::MIN, 0, 0)],
        vec![lane(1, 0, 3, 4)],
        vec![lane(1, 0, 3, -4)],
    ] {
        let error = wanted(lanes.clone(), 1).expect_err("it makes no sense");
        assert_eq!(error.cause().map(|cause| cause.kind), Some(CauseKind::Malformed), "{lanes:?}");
        assert!(!error.may_have_run());
    }
    assert!(wanted(vec![lane(63, i64::MAX, i64::MAX, 0)], 1).is_ok());
}

#[test]
fn a_reader_stands_where_its_lanes_do() {
    let check = |epochs: &[i64], expected| {
        let lanes = (0..).zip(epochs).map(|(n, epoch)| lane(n, *epoch, 0, 0)).collect();
        assert_eq!(wanted(lanes, 1).expect("it makes sense").standing(Epoch(5)), expected, "{epochs:?}");
    };
    check(&[], Standing::Entered);
    check(&[5, 5], Standing::Entered);
    check(&[5, 4], Standing::Older);
    check(&[0], Standing::Older);
    check(&[5, 6, 4], Standing::Above(Epoch(6)));
}
