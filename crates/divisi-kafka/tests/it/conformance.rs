//! The suite that every carrier passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use divisi_events::Carrier;
use divisi_events::conformance::carrier_suite;

use crate::broker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_keeps_every_promise_of_a_carrier() {
    let broker = broker::shared().await;
    let carrier = broker.carrier();
    let n = AtomicU32::new(0);
    carrier_suite(async || {
        let topic = format!("topic-{}.v1", n.fetch_add(1, Ordering::Relaxed));
        (Arc::clone(&carrier) as Arc<dyn Carrier>, topic.into())
    })
    .await;
    carrier.close().await;
}
