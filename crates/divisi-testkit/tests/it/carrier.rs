//! The carrier in memory: without faults it is a good carrier, with them it does what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use divisi_events::Carrier;
use divisi_events::conformance::carrier_suite;
use divisi_testkit::{Faults, MemoryCarrier};

#[tokio::test(start_paused = true)]
async fn a_carrier_without_faults_keeps_every_promise() {
    let carrier = MemoryCarrier::new(Faults::NONE, 1);
    let n = AtomicU32::new(0);
    carrier_suite(async || {
        let topic = format!("topic-{}.v1", n.fetch_add(1, Ordering::Relaxed));
        (Arc::new(carrier.clone()) as Arc<dyn Carrier>, topic.into())
    })
    .await;
}
