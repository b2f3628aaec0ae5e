//! Two instances of a consumer, and which of them reads what from the broker.

use std::sync::Arc;

use divisi_events::conformance::Told;
use divisi_events::consumer::{LaneSet, LaneState};
use divisi_events::lane::Input;
use divisi_store::{Epoch, Lane};

use crate::broker;
use crate::load::Load;
use crate::pair::{PATIENCE, Pair, Running};

fn half(second: bool) -> LaneSet {
    LaneSet::of((0..64).map(Lane).filter(|lane| (lane.0 % 2 == 1) == second))
}

/// Waits until an instance has at least so many lanes with sales, and all of them follow the broker.
async fn follows(running: &Running, what: &str, lanes: usize) {
    running
        .until(what, PATIENCE, |status| {
            let lanes_of = status.inputs.iter().flat_map(|input| &input.lanes);
            let mine: Vec<_> =
                lanes_of.filter(|lane| lane.state != LaneState::Elsewhere && lane.pos.0 > 0).collect();
            mine.len() >= lanes && mine.iter().all(|lane| lane.input == Input::Carrier)
        })
        .await;
}

fn handled(running: &Running) -> u64 {
    running.observer.status().inputs.iter().map(|input| input.handled).sum()
}

/// Lanes that change hands go on where the other instance has left them, on the broker, whatever partition they share with lanes of the
/// other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_change_hands_stay_on_the_broker_and_nothing_is_applied_twice() {
    let broker = broker::shared().await;
    let directory = tempfile::tempdir().expect("a directory");
    let pair = Arc::new(Pair::open(directory.path()).await);
    let carrier = broker.carrier();
    let relaying = pair.relay(Arc::clone(&carrier) as _);
    let told: [Arc<Told>; 2] = Default::default();
    told[0].say(Some(LaneSet::ALL));
    told[1].say(Some(LaneSet::NONE));
    let one = pair.consume_sharing(broker.carrier(), Arc::clone(&told[0]));
    let two = pair.consume_sharing(broker.carrier(), Arc::clone(&told[1]));
    let load = Load::begin(&pair);
    follows(&one, "the first has all", 25).await;
    for round in 0..4 {
        told[0].say(Some(half(round % 2 == 0)));
        told[1].say(Some(half(round % 2 == 1)));
        for running in [&one, &two] {
            follows(running, "each follows the broker in its half", 8).await;
            let before = handled(running);
            running
                .until("it goes on", PATIENCE, |status| {
                    status.inputs.iter().map(|input| input.handled).sum::<u64>() > before + 50
                })
                .await;
        }
    }
    // One that has no lanes while the source begins an epoch enters it when it gets some.
    told[1].say(Some(LaneSet::NONE));
    told[0].say(Some(LaneSet::ALL));
    let elsewhere = |status: &divisi_events::consumer::ConsumerStatus| {
        status.inputs.iter().flat_map(|input| &input.lanes).all(|lane| lane.state == LaneState::Elsewhere)
    };
    two.until("the second has none", PATIENCE, elsewhere).await;
    let epoch = pair.shop.backend().begin_epoch(Epoch(0)).await.expect("an epoch begins");
    one.until("the first enters it", PATIENCE, |status| status.inputs[0].epoch == epoch).await;
    told[0].say(Some(half(false)));
    told[1].say(Some(half(true)));
    two.until("the second enters it", PATIENCE, |status| status.inputs[0].epoch == epoch).await;
    for running in [&one, &two] {
        follows(running, "each follows the broker again", 8).await;
    }
    // Each knows its own half alone; both write to one ledger.
    let sales = load.end().await;
    told[1].say(Some(LaneSet::NONE));
    told[0].say(Some(LaneSet::ALL));
    sales.are_entered_once(&pair, &one).await;
    let counts = [handled(&one), handled(&two)];
    assert_eq!(counts.iter().sum::<u64>(), sales.sold(), "{counts:?}");
    assert!(counts.iter().all(|handled| *handled > 100), "{counts:?}");
    one.stop().await;
    two.stop().await;
    drop(relaying);
    carrier.close().await;
    pair.close().await;
}
