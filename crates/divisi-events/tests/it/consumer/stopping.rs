//! A consumer that is stopped while its database, or the source that it reads, has nothing for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::{Answer, CallError, CauseKind, Context};
use divisi_events::{Feed, Fetch, FetchRefused, Fetched, Progress};
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

/// The way to a source whose process has ended: a question fails, and what it is told waits for a connection.
#[derive(Default)]
struct Gone {
    was_told: AtomicBool,
}

impl Feed for Gone {
    fn fetch<'a>(&'a self, _: &'a Context, _: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>> {
        Box::pin(async { Err(CallError::not_run(CauseKind::Unreachable, "its process has ended")) })
    }

    fn progress<'a>(&'a self, _: &'a Context, _: Progress) -> BoxFuture<'a, Answer<()>> {
        self.was_told.store(true, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_consumer_that_stops_does_not_wait_for_a_source_that_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let gone = Arc::new(Gone::default());
    let running = pair.start_on(Arc::clone(&gone) as _);
    let failed = running.observer.until(|status| status.inputs[0].trouble.is_some());
    tokio::time::timeout(PATIENCE, failed).await.expect("it has asked");
    running.stop().await;
    assert!(!gone.was_told.load(Ordering::Relaxed), "it told its progress to nobody");
    pair.close().await;
}
