//! A server that is not there when a consumer starts, and a source that is not.

use std::sync::Arc;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::{Answer, CallError, CauseKind, Context};
use divisi_events::{Feed, Fetch, FetchRefused, Fetched};

use crate::support::{PATIENCE, until};
use crate::world::{ITEMS, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_starts_while_the_server_is_gone_reads_the_log_and_finds_it_later() {
    let world = World::begin().await;
    let running = world.consume().await;
    for item in ITEMS {
        running.reached(&world.sell(item).await, PATIENCE).await;
    }
    running.stop().await;
    world.server.kill().await.expect("killed");
    let running = world.consume().await;
    for item in ITEMS {
        running.reached(&world.sell(item).await, Duration::from_secs(3)).await;
    }
    world.server.start().await.expect("started");
    let load = world.load(50);
    running.follows_the_carrier().await;
    let so_far = world.by_carrier().await;
    until("NATS brings again", PATIENCE, async || world.by_carrier().await, |n| *n > so_far + 50).await;
    load.stop().await;
    world.settles().await;
}

/// A service far away may reach NATS alone: beacons tell it the source's epochs and heads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_cannot_reach_its_source_lives_on_nats_alone() {
    let world = World::begin().await;
    let running = world.consume_from(Arc::new(Nobody)).await;
    for item in ITEMS {
        running.reached(&world.sell(item).await, PATIENCE).await;
    }
    world.settles().await;
    assert_eq!(world.by_carrier().await, world.n_entries().await);
}

/// A source that nobody reaches.
struct Nobody;

impl Feed for Nobody {
    fn fetch<'a>(&'a self, _cx: &'a Context, _want: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>> {
        let gone = CallError::not_run(CauseKind::Unreachable, "the way is cut");
        Box::pin(std::future::ready(Err(gone)))
    }
}
