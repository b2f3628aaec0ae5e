//! A reader that comes late.

use std::collections::BTreeMap;

use divisi_contract::event::LANES;
use divisi_contract::{CallError, Context};
use divisi_events::log_feed::KEEP_EVERY;
use divisi_events::tail::TailLimits;
use divisi_events::{Fetch, LogOptions};
use divisi_store::{Lane, Pos};

use super::fixture::{Fixture, want};

const HISTORY: usize = 10_000;

#[tokio::test]
async fn ten_thousand_records_of_history_are_read_from_a_log_that_has_just_started() {
    let before = Fixture::new(LogOptions::default()).await;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut ends = BTreeMap::<Lane, Pos>::new();
    for n in 0..HISTORY / 100 {
        let lanes: Vec<u16> = (0..100).map(|_| rng.u16(0..LANES)).collect();
        for position in before.post(&lanes, n as u64).await {
            ends.insert(position.lane, position.pos);
        }
    }
    let Fixture { store, log, dir } = before;
    store.close().await;
    drop((store, log));

    let fixture = Fixture::open(dir, LogOptions::default()).await;
    let epoch = fixture.epoch().await;
    let mut at = [Pos(0); LANES as usize];
    let (mut n_read, mut n_fetches) = (0, 0);
    while n_read < HISTORY {
        let fetched = fixture.fetch(want(epoch, &at, 0)).await;
        n_fetches += 1;
        assert!(!fetched.records.is_empty(), "there is more");
        for record in fetched.records {
            let at = &mut at[usize::from(record.lane.0)];
            assert_eq!(record.pos, at.next());
            assert!(record.epoch < epoch, "written in the life before");
            *at = record.pos;
            n_read += 1;
        }
    }
    assert!(n_fetches <= HISTORY.div_ceil(512) + 1, "full pages: {n_fetches}");
    assert!(ends.iter().all(|(lane, end)| at[usize::from(lane.0)] == *end), "to the end of every lane");
    let nothing = fixture.fetch(want(epoch, &at, 0)).await;
    assert!(nothing.records.is_empty());
    fixture.post(&[7], 0).await;
    assert_eq!(fixture.fetch(want(epoch, &at, 0)).await.records.len(), 1, "and then what is new");
}

#[tokio::test]
async fn a_tail_that_is_too_short_loses_nothing() {
    let limits = TailLimits { records: 3, bytes: 1 << 20, ..TailLimits::default() };
    let fixture = Fixture::new(LogOptions { tail: limits }).await;
    let epoch = fixture.epoch().await;
    let mut at = [Pos(0); LANES as usize];
    fixture.fetch(want(epoch, &at, 0)).await;
    for n in 0..50 {
        fixture.post(&[1, 2, 1, 1, 2], n).await;
        for record in fixture.fetch(want(epoch, &at, 0)).await.records {
            let at = &mut at[usize::from(record.lane.0)];
            assert_eq!(record.pos, at.next());
            *at = record.pos;
        }
    }
    assert_eq!((at[1], at[2]), (Pos(150), Pos(100)));
    let (n_records, _) = fixture.log.tail().topic("posts").expect("it owns the topic").kept();
    assert_eq!(n_records, 3);
}

#[tokio::test]
async fn progress_is_kept_every_few_seconds_and_at_the_end() {
    let fixture = Fixture::new(LogOptions::default()).await;
    let epoch = fixture.epoch().await;
    fixture.post(&[3, 3, 3], 0).await;
    let log = std::sync::Arc::clone(&fixture.log);
    let running = tokio::spawn(async move { log.run().await });
    let mut at = [Pos(0); LANES as usize];
    at[3] = Pos(2);
    fixture.fetch(want(epoch, &at, 0)).await;
    let pos = async || fixture.log.readers().await.expect("the store can be read")[0].lanes[3].pos;
    let began = tokio::time::Instant::now();
    while pos().await != Pos(2) {
        assert!(began.elapsed() < 4 * KEEP_EVERY, "it was not kept");
        tokio::time::sleep(KEEP_EVERY / 100).await;
    }
    at[3] = Pos(3);
    fixture.fetch(want(epoch, &at, 0)).await;
    fixture.log.close();
    running.await.expect("it ends");
    assert_eq!(pos().await, Pos(3), "at the end, without waiting for the next turn");
}

#[tokio::test]
async fn a_store_that_is_closed_answers_that_nothing_ran() {
    let fixture = Fixture::new(LogOptions::default()).await;
    let epoch = fixture.epoch().await;
    fixture.post(&[3], 0).await;
    fixture.store.close().await;
    let want: Fetch = want(epoch, &[Pos(0); LANES as usize], 0);
    let error = fixture.log.fetch(&Context::root("search"), want).await.expect_err("there is no store");
    assert!(matches!(error, CallError::NotRun(_)), "{error:?}");
}
