//! Two instances of a consumer, and which of them reads what from the server.

use std::sync::Arc;

use divisi_events::conformance::Told;
use divisi_events::consumer::{LaneSet, LaneState};
use divisi_events::lane::Input;
use divisi_store::{Epoch, Lane};
use futures_util::TryStreamExt;

use crate::support::{PATIENCE, stranger, until};
use crate::world::{Running, World};

fn half(second: bool) -> LaneSet {
    LaneSet::of((0..64).map(Lane).filter(|lane| (lane.0 % 2 == 1) == second))
}

/// Its lanes that something was sold in, and whether all of them follow the server.
fn follows(running: &Running) -> (usize, bool) {
    let lanes = running.input().lanes;
    let busy = || lanes.iter().filter(|lane| lane.state != LaneState::Elsewhere && lane.pos.0 > 0);
    (busy().count(), busy().all(|lane| lane.input == Input::Carrier))
}

/// Each subscribes to its own lanes alone; those that change hands go on where the other instance has left them, on the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_change_hands_stay_on_the_carrier_and_nothing_is_applied_twice() {
    let world = World::begin().await;
    let told: [Arc<Told>; 2] = Default::default();
    told[0].say(Some(LaneSet::ALL));
    told[1].say(Some(LaneSet::NONE));
    let one = world.consume_sharing(Arc::clone(&told[0])).await;
    let two = world.consume_sharing(Arc::clone(&told[1])).await;
    let load = world.load(300);
    until("the first has all", PATIENCE, async || follows(&one), |(n, all)| *n >= 6 && *all).await;
    assert_eq!(follows(&two), (0, true), "the second has none");
    for round in 0..6 {
        told[0].say(Some(half(round % 2 == 0)));
        told[1].say(Some(half(round % 2 == 1)));
        let both = async || [follows(&one), follows(&two)];
        let shared = |both: &[(usize, bool); 2]| both.iter().all(|(n, all)| *n >= 1 && *all);
        let before = world.by_carrier().await;
        until("both follow the server", PATIENCE, both, shared).await;
        until("it brings something", PATIENCE, async || world.by_carrier().await, |n| *n > before + 50).await;
    }
    // One that had no lanes while the source began an epoch enters it when it gets some.
    told[1].say(Some(LaneSet::NONE));
    told[0].say(Some(LaneSet::ALL));
    until("the second has none", PATIENCE, async || follows(&two).0, |n| *n == 0).await;
    let epoch = world.shop.backend().begin_epoch(Epoch(0)).await.expect("an epoch begins");
    until("the first enters it", PATIENCE, async || one.input().epoch, |entered| *entered == epoch).await;
    told[0].say(Some(half(false)));
    told[1].say(Some(half(true)));
    until("the second enters it", PATIENCE, async || two.input().epoch, |entered| *entered == epoch).await;
    let both = async || [follows(&one), follows(&two)];
    let shared = |both: &[(usize, bool); 2]| both.iter().all(|(n, all)| *n >= 1 && *all);
    until("both follow the server", PATIENCE, both, shared).await;
    let handled = two.input().handled;
    until("the second goes on", PATIENCE, async || two.input().handled, |n| *n > handled + 50).await;
    // The two newest subscriptions: the server forgets those before them by itself.
    let stream = stranger(&world.server).await.get_stream("evt_sales").await.expect("the stream");
    let mut consumers: Vec<_> = stream.consumers().try_collect().await.expect("its consumers");
    consumers.sort_by_key(|consumer| std::cmp::Reverse(consumer.created));
    let mut subjects: Vec<_> =
        consumers.into_iter().take(2).flat_map(|consumer| consumer.config.filter_subjects).collect();
    subjects.sort();
    assert!(subjects.len() == 64 && subjects.is_sorted_by(|a, b| a < b), "each lane once: {subjects:?}");
    load.stop().await;
    world.settles().await;
    let handled = [one.input().handled, two.input().handled];
    assert_eq!(handled.iter().sum::<u64>(), world.n_sold(), "{handled:?}");
    assert!(handled.iter().all(|handled| *handled > 100), "{handled:?}");
    one.stop().await;
    two.stop().await;
}
