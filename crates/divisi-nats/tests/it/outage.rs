//! A server that is not there when a consumer starts.

use std::time::Duration;

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
