//! When there is nothing yet.

use std::time::Duration;

use divisi_contract::CauseKind;
use divisi_contract::event::LANES;
use divisi_store::{Lane, Pos};
use tokio::time::Instant;

use super::Make;
use super::bench::{Bench, LONG_MS, eventually, places, soon, want};
use crate::fetch::Fetch;

pub(super) async fn a_commit_ends_the_wait(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let epoch = bench.epoch().await;
    let asked = bench.ask_and_wait(Fetch { wait_ms: LONG_MS, ..want(epoch, &[(2, 0), (3, 0)]) }).await;
    let committed = Instant::now();
    bench.note(&[3, 3]).await;
    let fetched = soon("the answer", asked).await.expect("the log answers");
    assert_eq!(places(&fetched), [(3, 1), (3, 2)]);
    assert_eq!(fetched.heads, [(Lane(2), Pos(0)), (Lane(3), Pos(2))]);
    assert!(committed.elapsed() < Duration::from_millis(u64::from(LONG_MS) / 2), "at once, not at the end");
}

pub(super) async fn a_commit_to_another_lane_does_not(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let epoch = bench.epoch().await;
    let asked = bench.ask_and_wait(Fetch { wait_ms: LONG_MS, ..want(epoch, &[(2, 0)]) }).await;
    // What the reader has in hand already does not end it either.
    let ahead = bench.ask_and_wait(Fetch { wait_ms: LONG_MS, ..want(epoch, &[(4, 1)]) }).await;
    bench.note(&[3, 4]).await;
    assert_eq!(places(&bench.ask(&[(3, 0)], 1, LONG_MS).await), [(3, 1)], "the other lane has it");
    assert!(!asked.is_finished() && !ahead.is_finished(), "and they still wait");
    bench.note(&[2, 4]).await;
    assert_eq!(places(&soon("the answer", asked).await.expect("the log answers")), [(2, 1)]);
    assert_eq!(places(&soon("the answer", ahead).await.expect("the log answers")), [(4, 2)]);
}

pub(super) async fn the_end_of_the_wait_brings_ends(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    bench.note(&[2, 2]).await;
    let began = Instant::now();
    let fetched = bench.ask(&[(2, 2), (5, 0)], 512, 50).await;
    assert!(began.elapsed() >= Duration::from_millis(50), "it waited");
    assert_eq!(fetched.records, []);
    assert_eq!(fetched.heads, [(Lane(2), Pos(2)), (Lane(5), Pos(0))]);
    assert_eq!(fetched.epochs.current(), bench.epoch().await);
    let nothing = bench.ask(&[], 512, LONG_MS).await;
    assert_eq!((nothing.records.len(), nothing.heads.len()), (0, 0), "no lanes, nothing to wait for");
    assert_eq!(bench.tail().n_waiting(), 0, "nobody waits any more");
}

pub(super) async fn a_question_taken_back_leaves_nothing_behind(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let epoch = bench.epoch().await;
    let mut asked = Vec::new();
    for lane in 0..10 {
        asked.push(bench.ask_and_wait(Fetch { wait_ms: LONG_MS, ..want(epoch, &[(lane, 0)]) }).await);
    }
    asked.iter().for_each(|asked| asked.abort());
    eventually("nobody waits", || bench.tail().n_waiting() == 0).await;
    bench.note(&[0, 1]).await;
    assert_eq!(places(&bench.ask(&[(0, 0), (1, 0)], 512, LONG_MS).await), [(0, 1), (1, 1)]);
}

pub(super) async fn sixty_four_wait_and_each_is_woken_by_its_own_lane(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let epoch = bench.epoch().await;
    let mut asked = Vec::new();
    for lane in 0..LANES {
        asked.push(bench.ask_and_wait(Fetch { wait_ms: LONG_MS, ..want(epoch, &[(lane, 0)]) }).await);
    }
    let last = asked.split_off(32);
    bench.note(&(0..32).collect::<Vec<_>>()).await;
    for (lane, asked) in (0..).zip(asked) {
        assert_eq!(places(&soon("the answer", asked).await.expect("the log answers")), [(lane, 1)]);
    }
    assert_eq!(bench.tail().n_waiting(), 32, "the others were not woken");
    bench.note(&(32..LANES).collect::<Vec<_>>()).await;
    for (lane, asked) in (32..).zip(last) {
        assert_eq!(places(&soon("the answer", asked).await.expect("the log answers")), [(lane, 1)]);
    }
    assert_eq!(bench.tail().n_waiting(), 0);
}

pub(super) async fn a_log_that_closes_sends_everybody_away(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let epoch = bench.epoch().await;
    let asked = bench.ask_and_wait(Fetch { wait_ms: LONG_MS, ..want(epoch, &[(2, 0)]) }).await;
    bench.log.close();
    let sent_away = soon("the answer", asked).await.expect_err("the log is closed");
    assert_eq!(sent_away.cause().map(|cause| cause.kind), Some(CauseKind::Draining));
    assert!(!sent_away.may_have_run());
    let late = bench.fetch(want(epoch, &[(2, 0)])).await.expect_err("the log is closed");
    assert_eq!(late.cause().map(|cause| cause.kind), Some(CauseKind::Draining));
}
