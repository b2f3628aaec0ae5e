//! The store fails, or somebody else of the same name is at work.

use divisi_contract::Event;
use divisi_contract::event::{LANES, lane_of};
use divisi_store::Stores;

use super::bench::{Bench, Counted, Does, is_at_end};
use super::faulty::Cut;
use crate::consumer::LaneState;

/// A transaction that breaks before it begins, at its end, or with an outcome that nobody knows.
pub async fn a_cut_anywhere_loses_nothing_and_repeats_nothing(stores: &dyn Stores) {
    let bench = Bench::new(stores, "cut").await;
    let running = bench.start();
    for (n, cut) in (1..).zip([Cut::Begin, Cut::Commit, Cut::LostBefore, Cut::LostAfter].repeat(5)) {
        bench.faults.cut(&[cut]);
        bench.count("a", [2 * n - 1, 2 * n]);
        bench.count("b", [n]);
        bench.quiet(&running).await;
        assert!(bench.faults.is_spent(), "the cut was made");
    }
    bench.assert_once().await;
    assert_eq!(bench.echoes(60).await.len(), 60, "new events are as many");
}

/// A database that is not reachable is nobody's fault: lanes wait, nothing is parked.
pub async fn a_store_that_is_down_parks_nothing(stores: &dyn Stores) {
    let bench = Bench::new(stores, "down").await;
    let running = bench.start();
    bench.count("k", [1]);
    bench.quiet(&running).await;
    bench.faults.set_down(true);
    bench.count("k", 2..=50);
    let lane = usize::from(lane_of("k", LANES));
    running
        .until("the lane has tried some times", |status| {
            let lane = status.inputs.first().and_then(|input| input.lanes.get(lane));
            lane.is_some_and(
                |lane| matches!(lane.state, LaneState::BackingOff { attempts, .. } if attempts > 6),
            )
        })
        .await;
    bench.faults.set_down(false);
    bench.quiet(&running).await;
    bench.assert_once().await;
    running.until_parked((0, 0, 0, 0)).await;
}

/// Two consumers of one name at the same time share the work; none of it is done twice.
pub async fn two_of_one_name_do_no_harm(stores: &dyn Stores) {
    let bench = Bench::new(stores, "twins").await;
    let (one, two) = (bench.start(), bench.start());
    for n in 1..=100 {
        (0..10).for_each(|key| bench.count(&format!("k{key}"), [n]));
        if n % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    bench.quiet(&one).await;
    bench.quiet(&two).await;
    bench.assert_once().await;
    assert_eq!(bench.echoes(1_000).await.len(), 1_000);
}

/// A consumer that read a batch and was stopped before its transaction finds that another has applied it.
pub async fn a_zombie_finds_the_work_done(stores: &dyn Stores) {
    let bench = Bench::new(stores, "zombie").await;
    bench.count("k", 1..=10);
    // It backs off with the batch's question answered, and cannot go on.
    bench.does("k", Does::Transient);
    let mut slow = bench.consumer();
    slow = slow.options(crate::consumer::ConsumerOptions {
        backoff: crate::consumer::options::Backoff {
            min: std::time::Duration::from_millis(300),
            max: std::time::Duration::from_millis(300),
        },
        ..bench.options.clone()
    });
    let zombie = super::bench::Running::start(slow);
    let lane = usize::from(lane_of("k", LANES));
    zombie
        .until("it holds the batch", |status| {
            let lane = status.inputs.first().and_then(|input| input.lanes.get(lane));
            lane.is_some_and(|lane| matches!(lane.state, LaneState::BackingOff { .. }))
        })
        .await;
    bench.does("k", Does::Apply);
    let owner = bench.start();
    bench.quiet(&owner).await;
    bench.count("k", [11]);
    zombie.until("it goes on", |status| is_at_end(status, &bench.counter, Counted::TOPIC)).await;
    bench.assert_once().await;
}
