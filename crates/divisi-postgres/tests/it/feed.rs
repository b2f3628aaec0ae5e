//! The promises of every feed, kept by a log in PostgreSQL.

use std::sync::atomic::{AtomicU32, Ordering};

use divisi_events::conformance::feed::{SOURCE, feed_suite};
use divisi_store::{Schema, StoreName, Stores};

use crate::fixture::databases;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_keeps_every_promise_of_a_feed() {
    // Each promise opens an empty store of one and the same service.
    let n = AtomicU32::new(0);
    feed_suite(
        async |schema: Schema| {
            n.fetch_add(1, Ordering::Relaxed);
            let stores = databases().await.stores();
            stores.open(&StoreName::of(SOURCE), &schema).await.expect("a store opens in a new database")
        },
        async |log, _| log as _,
    )
    .await;
    assert!(n.into_inner() > 10, "each promise had a store of its own");
}
