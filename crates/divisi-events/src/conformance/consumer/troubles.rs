//! A lane, or a source, that does not do what it should for a while, or for good.

use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{CallError, CauseKind};
use divisi_store::{Lane, Pos, Stores};

use super::bench::{Bench, Does};
use crate::consumer::LaneState;
use crate::fetch::FetchRefused;

/// A lane that fails for a while tries again and again; others do not notice.
pub async fn a_slow_lane_holds_only_itself(stores: &dyn Stores) {
    let bench = Bench::new(stores, "slow").await;
    bench.does("slow", Does::Transient);
    let others: Vec<String> = (0..40)
        .map(|n| format!("k{n}"))
        .filter(|key| lane_of(key, LANES) != lane_of("slow", LANES))
        .collect();
    let running = bench.start();
    for n in 1..=20 {
        bench.count("slow", [n]);
        others.iter().for_each(|key| bench.count(key, [n]));
    }
    super::bench::eventually(
        "all others are done",
        async || bench.effects().await.len(),
        |n| *n == 20 * others.len(),
    )
    .await;
    let lane = usize::from(lane_of("slow", LANES));
    running
        .until("it has tried some times", |status| {
            let lane = status.inputs.first().and_then(|input| input.lanes.get(lane));
            lane.is_some_and(
                |lane| matches!(lane.state, LaneState::BackingOff { attempts, .. } if attempts > 6),
            )
        })
        .await;
    running.until_parked((0, 0, 0, 0)).await;
    bench.does("slow", Does::Apply);
    bench.quiet(&running).await;
    bench.assert_once().await;
    let state = running.observer.status().inputs[0].lanes[lane].state.clone();
    assert_eq!(state, LaneState::Following);
}

/// A source that cannot be reached, or answers for an older life, is asked until it answers.
pub async fn a_source_that_fails_is_asked_again(stores: &dyn Stores) {
    let bench = Bench::new(stores, "unreachable").await;
    bench.count("k", 1..=3);
    let error = CallError::not_run(CauseKind::Unreachable, "counter is not reachable");
    bench.counter.fail_always(Some(error));
    let running = bench.start();
    running
        .until("the trouble shows", |status| {
            status.inputs.first().is_some_and(|input| {
                input.trouble.as_ref().is_some_and(|trouble| trouble.contains("counter is not reachable"))
            })
        })
        .await;
    super::bench::eventually("it is asked again", async || bench.counter.asked().len(), |n| *n > 5).await;
    bench.counter.fail_always(None);
    bench.counter.fail([
        CallError::unknown(CauseKind::Disconnected, "the connection broke"),
        CallError::Refused(FetchRefused::EpochAhead { current: divisi_store::Epoch(1) }),
    ]);
    bench.quiet(&running).await;
    bench.assert_once().await;
    running
        .until("the trouble is over", |status| status.inputs.iter().all(|input| input.trouble.is_none()))
        .await;
}

/// Who may not listen is told so and asks no more; other inputs go on.
pub async fn a_stranger_stops_in_words(stores: &dyn Stores) {
    let bench = Bench::new(stores, "stranger").await;
    bench.counter.fail([CallError::Refused(FetchRefused::NotAllowed)]);
    bench.cause("k");
    let running = bench.start();
    running
        .until("the input has ended", |status| {
            status.inputs.first().is_some_and(|input| {
                input.ended.as_ref().is_some_and(|reason| reason.contains("not a listener"))
            })
        })
        .await;
    running
        .until("the other one goes on", |status| {
            status.inputs.get(1).is_some_and(|input| input.handled == 1 && input.ended.is_none())
        })
        .await;
    running.stop().await;
}

/// A lane whose next events are gone stops; it is never skipped, and others go on.
pub async fn what_retention_removed_stops_its_lane(stores: &dyn Stores) {
    let bench = Bench::new(stores, "retention").await;
    let lane = Lane(lane_of("gone", LANES));
    let other = (0..).map(|n| format!("k{n}")).find(|key| lane_of(key, LANES) != lane.0).expect("most keys");
    bench.count("gone", [1]);
    bench.count(&other, [1]);
    bench.counter.twist(move |_, mut fetched| {
        fetched.records.retain(|record| record.lane != lane);
        fetched
    });
    let running = bench.start();
    super::bench::eventually(
        "the other is read",
        async || bench.effects_of(&other).await,
        |found| found == &[1],
    )
    .await;
    bench.counter.fail([CallError::Refused(FetchRefused::RetentionExceeded { lane, floor: Pos(7) })]);
    bench.count(&other, [2]);
    running
        .until("the lane has stopped", |status| {
            let lane = status.inputs.first().and_then(|input| input.lanes.get(usize::from(lane.0)));
            lane.is_some_and(|lane| {
                matches!(&lane.state, LaneState::Stopped { reason } if reason.contains("up to position 7"))
                    && lane.pos == Pos(0)
            })
        })
        .await;
    bench.count(&other, [3]);
    super::bench::eventually(
        "others go on",
        async || bench.effects_of(&other).await,
        |found| found == &[1, 2, 3],
    )
    .await;
    assert_eq!(bench.effects_of("gone").await, [0_i64; 0]);
}
