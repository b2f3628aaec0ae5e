//! What a broker does wrong costs time and nothing else.

use std::sync::Arc;
use std::time::Duration;

use divisi_events::consumer::ConsumerStatus;
use divisi_kafka::Kafka;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::broker::{self, Broker};
use crate::load::{Load, Sales};
use crate::pair::{Pair, Relaying, Running, TOPIC, on_carrier};

/// A consumer goes on from the log so soon after the broker fell silent.
const GOES_ON_WITHIN: Duration = Duration::from_secs(3);
/// Lanes that have sales, at the least: what must follow the carrier.
const LANES: usize = 25;

/// The shop, its relay and the ledger at work, with their own connections to the broker.
struct Stage {
    pair: Arc<Pair>,
    relaying: Relaying,
    running: Running,
    carrier: Arc<Kafka>,
    _directory: TempDir,
}

impl Stage {
    async fn set<G>(broker: &Broker<G>) -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        let pair = Arc::new(Pair::open(directory.path()).await);
        let carrier = broker.carrier();
        let relaying = pair.relay(Arc::clone(&carrier) as _);
        let running = pair.consume(broker.carrier());
        Stage { pair, relaying, running, carrier, _directory: directory }
    }

    fn handled(&self) -> u64 {
        handled(&self.running.observer.status())
    }

    /// Waits until so many sales more are entered.
    async fn goes_on(&self, sales: u64, within: Duration) {
        let before = self.handled();
        self.running.until("the ledger goes on", within, |status| handled(status) >= before + sales).await;
    }

    /// Counts, and takes everything down in order.
    async fn ends_with(self, sales: Sales) -> ConsumerStatus {
        assert!(sales.lanes() >= LANES);
        sales.are_entered_once(&self.pair, &self.running).await;
        let status = self.running.stop().await.status;
        assert!(status.inputs[0].diverged.is_empty() && status.inputs[0].ended.is_none(), "{status:?}");
        drop(self.relaying);
        self.carrier.close().await;
        self.pair.close().await;
        status
    }
}

fn handled(status: &ConsumerStatus) -> u64 {
    status.inputs.iter().map(|input| input.handled).sum()
}

fn falls(status: &ConsumerStatus) -> u64 {
    status.inputs.iter().map(|input| input.falls).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_the_log_is_read_and_a_broker_that_comes_or_thaws_is_followed() {
    let broker = broker::alone().await;
    broker.server.stop().await.expect("it stops");
    let stage = Stage::set(&broker).await;
    let load = Load::begin(&stage.pair);
    stage.goes_on(200, GOES_ON_WITHIN).await;
    broker.server.start().await.expect("it starts");
    stage.running.follows_the_carrier(LANES).await;

    broker.server.freeze().await.expect("it freezes");
    let frozen = Instant::now();
    stage
        .running
        .until("lanes fall to the log", GOES_ON_WITHIN, |status| on_carrier(status) < LANES / 2)
        .await;
    stage.goes_on(400, GOES_ON_WITHIN).await;
    println!("frozen: goes on from the log after {:?}", frozen.elapsed());
    broker.server.thaw().await.expect("it thaws");
    let thawed = Instant::now();
    stage.running.follows_the_carrier(LANES).await;
    println!("thawed: {LANES} lanes are back on the carrier after {:?}", thawed.elapsed());
    let status = stage.ends_with(load.end().await).await;
    assert!(falls(&status) > 0, "the freeze was noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let broker = broker::alone().await;
    let stage = Stage::set(&broker).await;
    let load = Load::begin(&stage.pair);
    stage.running.follows_the_carrier(LANES).await;
    for _ in 0..2 {
        broker.server.kill().await.expect("it is killed");
        stage
            .running
            .until("lanes fall to the log", GOES_ON_WITHIN, |status| on_carrier(status) < LANES / 2)
            .await;
        stage.goes_on(200, GOES_ON_WITHIN).await;
        broker.server.start().await.expect("it starts");
    }
    let sales = load.end().await;
    sales.are_held(&broker).await;
    stage.ends_with(sales).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_has_forgotten_its_newest_records_is_found_out() {
    let broker = broker::alone().await;
    let stage = Stage::set(&broker).await;
    let load = Load::begin(&stage.pair);
    stage.goes_on(200, Duration::from_secs(10)).await;
    let copies = tempfile::tempdir().expect("a directory");
    let early = copies.path().join("early");
    broker.server.stop().await.expect("it stops");
    broker.server.copy_data(&early).await.expect("copied");
    broker.server.start().await.expect("it starts");
    // The carrier then holds far more than the five hundred records that it is to forget.
    stage.running.follows_the_carrier(LANES).await;
    stage.goes_on(500, Duration::from_secs(10)).await;
    broker.server.kill().await.expect("it is killed");
    broker.server.restore_data(&early).await.expect("put back");
    broker.server.start().await.expect("it starts");
    stage.goes_on(400, GOES_ON_WITHIN).await;
    stage.running.follows_the_carrier(LANES).await;
    let sales = load.end().await;
    sales.are_held(&broker).await;
    let status = stage.ends_with(sales).await;
    assert!(falls(&status) > 0, "it was noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_is_made_anew_and_followed() {
    let broker = broker::alone().await;
    let stage = Stage::set(&broker).await;
    let load = Load::begin(&stage.pair);
    stage.running.follows_the_carrier(LANES).await;
    broker.delete(TOPIC).await;
    stage.running.until("lanes fall to the log", Duration::from_secs(10), |status| falls(status) > 0).await;
    stage.goes_on(400, GOES_ON_WITHIN).await;
    let deleted_at = Instant::now();
    stage.running.follows_the_carrier(LANES).await;
    println!("made anew: {LANES} lanes are back on the carrier after {:?}", deleted_at.elapsed());
    let sales = load.end().await;
    sales.are_held(&broker).await;
    stage.ends_with(sales).await;
}
