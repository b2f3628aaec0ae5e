//! A consumer that is stopped while its database has no connection left for it.

use std::time::Duration;

use divisi_sqlite::Options;

use super::pair::{PATIENCE, Pair};

/// The clock is paused: a while is over as soon as nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_waits_for_a_connection_at_its_start_hears_stop() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let mut readings = Vec::new();
    for _ in 0..Options::default().readers {
        readings.push(pair.ledger.backend().snapshot().await.expect("a long query begins"));
    }
    let running = pair.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(running.observer.status().inputs[0].lanes.is_empty(), "it cannot have read its watermarks");
    let stopped = tokio::time::timeout(PATIENCE, running.stop()).await;
    assert!(stopped.is_ok(), "it waits for a connection and does not hear stop");
    drop(readings);
    pair.close().await;
}
