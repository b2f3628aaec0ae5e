//! An event that comes before what it builds on.

use divisi_contract::Event;
use divisi_store::Stores;
use divisi_store::parked::State;

use super::bench::{Bench, COUNTER, Counted, Does};

/// The key waits, and runs in order when its cause has come; live events of it meanwhile keep their place.
pub async fn a_cause_that_comes_late_frees_its_key(stores: &dyn Stores) {
    let mut bench = Bench::new(stores, "late").await;
    // So that it is the mark that frees it, not the next try by itself.
    bench.options.redrive.min = std::time::Duration::from_secs(3_600);
    bench.options.redrive.max = std::time::Duration::from_secs(3_600);
    bench.does("k", Does::NeedsCause);
    let running = bench.start();
    bench.count("k", 1..=5);
    bench.count("free", 1..=5);
    bench.quiet(&running).await;
    running.until_parked((1, 0, 0, 5)).await;
    let parked = running.parked.list(1).await.expect("a list").remove(0);
    assert_eq!(parked.why.state, State::Waiting);
    assert_eq!(parked.why.waits_for, Some(("conformance-caused".to_owned(), "k".to_owned())));
    assert_eq!(bench.effects_of("free").await, [1, 2, 3, 4, 5]);
    bench.cause("k");
    bench.count("k", 6..=9);
    running.until_parked((0, 0, 0, 0)).await;
    bench.quiet(&running).await;
    bench.assert_once().await;
}

/// It is shown, it costs nobody else anything, and an operator can end it.
pub async fn a_cause_that_never_comes_holds_only_its_key(stores: &dyn Stores) {
    let bench = Bench::new(stores, "never").await;
    bench.does("k", Does::NeedsCause);
    let running = bench.start();
    bench.count("k", [1]);
    bench.count("free", 1..=100);
    bench.quiet(&running).await;
    assert_eq!(bench.effects_of("free").await.len(), 100);
    let calls = bench.calls("k");
    super::bench::eventually("it is tried by itself", async || bench.calls("k"), |now| *now > calls + 3)
        .await;
    running.until_parked((1, 0, 0, 1)).await;
    running.parked.drop(COUNTER, Counted::TOPIC, "k").await.expect("it is parked");
    running.until_parked((0, 0, 0, 0)).await;
}

/// Cause and effect arrive at the same moment, in two lanes: whichever commits first, nothing waits for ever.
pub async fn a_key_parked_at_the_very_moment_is_not_forgotten(stores: &dyn Stores) {
    let bench = Bench::new(stores, "moment").await;
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    keys.iter().for_each(|key| bench.does(key, Does::NeedsCause));
    let running = bench.start();
    for key in &keys {
        bench.count(key, [1]);
        bench.cause(key);
        bench.count(key, [2, 3]);
    }
    bench.quiet(&running).await;
    running.until_parked((0, 0, 0, 0)).await;
    bench.assert_once().await;
}

/// All of one topic behind all of the other.
pub async fn two_sources_in_any_order_converge(stores: &dyn Stores) {
    let bench = Bench::new(stores, "converge").await;
    let keys: Vec<String> = (0..150).map(|n| format!("k{n}")).collect();
    for n in 1..=3 {
        for key in &keys {
            bench.does(key, Does::NeedsCause);
            bench.count(key, [n]);
        }
    }
    let running = bench.start();
    bench.quiet(&running).await;
    running.until_parked((150, 0, 0, 450)).await;
    keys.iter().for_each(|key| bench.cause(key));
    running.until_parked((0, 0, 0, 0)).await;
    bench.assert_once().await;
}
