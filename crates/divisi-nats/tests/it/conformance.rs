//! What every carrier promises, on a good day.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use divisi_events::Carrier;
use divisi_events::conformance::carrier_suite;

use crate::support::{carrier, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_keeps_every_promise_of_a_carrier() {
    let server = server().await;
    let carrier: Arc<dyn Carrier> = Arc::new(carrier(&server).await);
    let n_topics = AtomicU32::new(0);
    carrier_suite(async || {
        let n = n_topics.fetch_add(1, Ordering::Relaxed);
        (Arc::clone(&carrier), format!("topic-{n}").into())
    })
    .await;
}
