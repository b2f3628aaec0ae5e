//! What an answer is made of.

use std::collections::BTreeMap;

use divisi_contract::event::LANES;
use divisi_store::outbox::RECORDS_IN_TURN;
use divisi_store::{Committed, Lane, Pos};
use tokio::time::Instant;

use super::bench::{Bench, LONG_MS, Noted, PATIENCE, places, want};
use super::{Make, SOURCE};
use crate::fetch::Fetch;

pub(super) async fn every_lane_is_contiguous_and_true(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut written = BTreeMap::new();
    for n in 0..60 {
        let lanes: Vec<u16> = (0..rng.usize(1..12)).map(|_| rng.u16(0..LANES).min(rng.u16(..))).collect();
        let text = format!("the {n}th");
        let positions = bench.note_text(&lanes, &text).await;
        for (n, position) in (0..).zip(positions) {
            written.insert((position.lane, position.pos), (n, text.clone(), position.epoch));
        }
    }
    let epoch = bench.epoch().await;
    // Once from memory, once from the database, and with every size of answer.
    for from_memory in [true, false] {
        for max_records in [1, 7, 512] {
            if !from_memory {
                bench.log.tail().forget();
            }
            let mut at: BTreeMap<Lane, Pos> = (0..LANES).map(|lane| (Lane(lane), Pos(0))).collect();
            let mut read = BTreeMap::new();
            while read.len() < written.len() {
                let mut lanes: Vec<_> = at.iter().map(|(lane, pos)| (lane.0, pos.0)).collect();
                rng.shuffle(&mut lanes);
                let fetched = bench
                    .fetch(Fetch { max_records, max_bytes: rng.u32(1..20_000), ..want(epoch, &lanes) })
                    .await
                    .expect("the log answers");
                assert!(!fetched.records.is_empty(), "there is more, and room for one");
                assert!(fetched.records.len() <= max_records as usize);
                assert_eq!(fetched.epochs.current(), epoch);
                assert_eq!(fetched.heads.len(), lanes.len(), "the end of each wanted lane");
                for record in &fetched.records {
                    let at = at.get_mut(&record.lane).expect("a wanted lane");
                    assert_eq!(record.pos, at.next(), "lane {} without a hole", record.lane);
                    *at = record.pos;
                    assert_eq!((record.source.as_str(), &*record.kind), (SOURCE, "Noted"));
                    let noted: Noted = record.decode().expect("it decodes");
                    assert_eq!(&*record.key, noted.key);
                    read.insert((record.lane, record.pos), (noted.n, noted.text, record.epoch));
                }
                for (lane, head) in fetched.heads {
                    let end = written.keys().filter(|(of, _)| *of == lane).map(|(_, pos)| *pos).max();
                    assert_eq!(head, end.unwrap_or_default(), "the end of lane {lane}");
                }
            }
            assert_eq!(read, written, "what was written is what is read");
        }
    }
}

pub(super) async fn lanes_are_served_in_turn_in_the_order_of_the_question(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    bench.note(&[[9; 20].as_slice(), &[4; 20], &[30; 3]].concat()).await;
    let turn = |lane: u16, from: i64, to: i64| (from..=to).map(move |pos| (lane, pos));
    assert_eq!(RECORDS_IN_TURN, 8, "what is written out below");
    let all: Vec<_> = turn(4, 1, 8)
        .chain(turn(30, 1, 3))
        .chain(turn(9, 1, 8))
        .chain(turn(4, 9, 16))
        .chain(turn(9, 9, 16))
        .chain(turn(4, 17, 20))
        .chain(turn(9, 17, 20))
        .collect();
    for from_memory in [true, false] {
        if !from_memory {
            bench.log.tail().forget();
        }
        let order = [(4, 0), (30, 0), (9, 0)];
        assert_eq!(places(&bench.ask(&order, 512, 0).await), all, "from memory: {from_memory}");
        assert_eq!(places(&bench.ask(&order, 13, 0).await), all[..13], "from memory: {from_memory}");
        assert_eq!(places(&bench.ask(&[(9, 19), (4, 0)], 3, 0).await), [(9, 20), (4, 1), (4, 2)]);
    }
}

pub(super) async fn the_first_record_is_sent_whatever_its_size(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let large = "x".repeat(divisi_store::transaction::PAYLOAD_BYTES_MAX - 200);
    bench.note_text(&[5, 5], &large).await;
    let epoch = bench.epoch().await;
    for from_memory in [true, false] {
        if !from_memory {
            bench.log.tail().forget();
        }
        for pos in [0, 1] {
            for max_bytes in [0, 1, u32::MAX] {
                let fetched = bench.fetch(Fetch { max_bytes, ..want(epoch, &[(5, pos)]) }).await;
                let fetched = fetched.expect("the log answers");
                assert_eq!(places(&fetched), [(5, pos + 1)], "one, and no second beside it");
                assert!(fetched.records[0].payload.len() > large.len(), "all of it");
            }
        }
    }
}

pub(super) async fn a_question_may_be_repeated(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    bench.note(&[1, 2, 1, 3, 1]).await;
    let lanes = [(1, 1), (2, 0), (3, 0)];
    let first = bench.ask(&lanes, 512, 0).await;
    assert_eq!(places(&first), [(1, 2), (1, 3), (2, 1), (3, 1)]);
    assert_eq!(bench.ask(&lanes, 512, LONG_MS).await, first, "the same again");
    bench.log.tail().forget();
    assert_eq!(bench.ask(&lanes, 512, 0).await, first, "and from the database");
}

pub(super) async fn no_room_for_records_brings_ends_at_once(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    bench.note(&[1, 1, 6]).await;
    let began = Instant::now();
    for pos in [0, 2] {
        let fetched = bench.ask(&[(6, 1), (1, pos), (7, 0)], 0, LONG_MS).await;
        assert_eq!(fetched.records, []);
        assert_eq!(fetched.heads, [(Lane(6), Pos(1)), (Lane(1), Pos(2)), (Lane(7), Pos(0))]);
        assert_eq!(fetched.epochs.current(), bench.epoch().await);
    }
    assert!(began.elapsed().as_millis() < u128::from(LONG_MS), "it did not wait");
    assert!(began.elapsed() < PATIENCE);
}
