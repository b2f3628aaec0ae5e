//! The promises of every feed, kept by a log in this process.

use std::sync::Arc;

use divisi_call::{Client, Place, Route};
use divisi_contract::ServiceName;
use divisi_events::conformance::feed::{SOURCE, feed_suite};
use divisi_events::{EventLogClient, Feed, Log};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::{Schema, StoreName, Stores};
use tempfile::TempDir;

/// Opens stores in directories that live as long as the test.
async fn suite(reach: impl Fn(Arc<Log>, ServiceName) -> Arc<dyn Feed>) {
    let dirs = std::sync::Mutex::new(Vec::<TempDir>::new());
    feed_suite(
        async |schema: Schema| {
            let dir = tempfile::tempdir().expect("a directory");
            let sqlite = Sqlite::new(dir.path(), Options::default());
            dirs.lock().expect("no test panics with it").push(dir);
            sqlite.open(&StoreName::of(SOURCE), &schema).await.expect("a store opens in a new directory")
        },
        async |log, caller| reach(log, caller),
    )
    .await;
}

#[tokio::test]
async fn a_log_keeps_every_promise_of_a_feed() {
    suite(|log, _| log).await;
}

#[tokio::test]
async fn so_does_its_client_in_the_same_process() {
    suite(|log, caller| {
        let route = Route::new(SOURCE);
        route.lead_to(Place::Local(vec![EventLogClient::serve(log, None)]));
        Arc::new(EventLogClient::over(caller, route))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn and_on_several_threads() {
    suite(|log, _| log).await;
}
