//! A server that stands still or dies under load: everything takes effect once, nothing waits for long.

use std::time::Duration;

use crate::support::{PATIENCE, until};
use crate::world::{ITEMS, World};

/// How soon a consumer must go on without its carrier.
const GOES_ON_WITHIN: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_passed_by_and_returned_to() {
    let world = World::begin().await;
    let running = world.consume().await;
    let load = world.load(150);
    until("it has begun", PATIENCE, async || world.n_entries().await, |n| *n > 100).await;
    running.follows_the_carrier().await;
    world.server.freeze().await.expect("frozen");
    // One event after the other: each reaches the ledger, whichever lane has noticed already.
    for _ in 0..3 {
        for item in ITEMS {
            running.reached(&world.sell(item).await, GOES_ON_WITHIN).await;
        }
    }
    running.falls(0).await;
    let so_far = world.n_entries().await;
    until("it goes on for a while", PATIENCE, async || world.n_entries().await, |n| *n > so_far + 400).await;
    world.server.thaw().await.expect("thawed");
    running.follows_the_carrier().await;
    let so_far = world.by_carrier().await;
    until("NATS brings again", PATIENCE, async || world.by_carrier().await, |n| *n > so_far + 100).await;
    load.stop().await;
    world.settles().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_again_and_again_loses_and_doubles_nothing() {
    let world = World::begin().await;
    let running = world.consume().await;
    let load = world.load(200);
    for _ in 0..3 {
        let so_far = world.n_entries().await;
        until("it goes on", PATIENCE, async || world.n_entries().await, |n| *n > so_far + 150).await;
        world.server.kill().await.expect("killed");
        let down = world.sell("apple").await;
        running.reached(&down, GOES_ON_WITHIN).await;
        world.server.start().await.expect("started");
    }
    load.stop().await;
    world.settles().await;
    let n_sold = world.n_sold();
    until("the relay has caught up", PATIENCE, async || world.n_messages().await, |n| *n >= n_sold).await;
}
