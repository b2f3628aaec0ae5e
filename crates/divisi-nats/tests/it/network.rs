//! A network that carries one direction only: acknowledgements and messages are lost, requests are not.

use std::time::Duration;

use divisi_events::carrier::{Carrier, CarrierError};
use divisi_nats::{Nats, Options};
use divisi_store::Lane;
use tokio::time::timeout;

use crate::proxy::Proxy;
use crate::support::{PATIENCE, next_pos, publish, read, server, start_of, stranger, until};
use crate::world::{ITEMS, World};

const LANE: Lane = Lane(5);

/// F-13: what was published again after its acknowledgement was lost lies there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_acknowledgement_is_an_error_and_the_retry_a_success() {
    let server = server().await;
    let proxy = Proxy::before(server.address()).await;
    let ack_within = Duration::from_millis(500);
    let options = Options { ack_within, ..Options::new("market", [proxy.url()]) };
    let carrier = Nats::connect(options).await.expect("a carrier");
    assert!(publish(&carrier, "sales", LANE, [1], 1).await[0].is_ok());
    proxy.swallow();
    let lost = timeout(PATIENCE, publish(&carrier, "sales", LANE, 2..=4, 1)).await.expect("bounded in time");
    assert!(lost.len() == 3 && lost.iter().all(Result::is_err), "{lost:?}");
    let n_messages = async || {
        let stream = stranger(&server).await.get_stream("evt_sales").await.expect("the stream");
        stream.cached_info().state.messages
    };
    assert_eq!(
        n_messages().await,
        2,
        "its first record was stored, and the others waited for its acknowledgement"
    );
    proxy.heal();
    let again = async || publish(&carrier, "sales", LANE, 2..=4, 1).await;
    until("it is published again", PATIENCE, again, |outcomes| outcomes.iter().all(Result::is_ok)).await;
    assert_eq!(n_messages().await, 4, "nothing lies there twice");
    let mut arrivals = read(&carrier, "sales", LANE, Some(start_of(&server, "evt_sales").await)).await;
    for pos in 1..=4 {
        assert_eq!(next_pos(&mut *arrivals).await, pos);
    }
}

/// F-47: what does not arrive is noticed by the heartbeats that do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_hears_nothing_ends_though_the_connection_stands() {
    let server = server().await;
    let proxy = Proxy::before(server.address()).await;
    let carrier = Nats::connect(Options::new("market", [proxy.url()])).await.expect("a carrier");
    let mut arrivals = read(&carrier, "sales", LANE, None).await;
    proxy.swallow();
    let ended = timeout(Duration::from_secs(5), arrivals.next()).await.expect("within five seconds");
    assert!(matches!(ended, Some(Err(CarrierError::Unavailable(_)))), "{ended:?}");
    proxy.heal();
    let open = async || carrier.read(&"shop".into(), "sales", vec![(LANE, None)]).await.is_ok();
    until("it can be read again", PATIENCE, open, |open| *open).await;
}

/// F-47 under load: consumer and relay both hear nothing any more from NATS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_way_partition_is_passed_by_and_returned_from() {
    let server = server().await;
    let proxy = Proxy::before(server.address()).await;
    let world = World::begin_on(server, Options::new("market", [proxy.url()])).await;
    let running = world.consume().await;
    let load = world.load(150);
    until("it has begun", PATIENCE, async || world.n_entries().await, |n| *n > 100).await;
    proxy.swallow();
    for item in ITEMS {
        running.reached(&world.sell(item).await, Duration::from_secs(3)).await;
    }
    running.falls(0).await;
    let so_far = world.n_entries().await;
    until("it goes on for a while", PATIENCE, async || world.n_entries().await, |n| *n > so_far + 300).await;
    proxy.heal();
    running.follows_the_carrier().await;
    let so_far = world.by_carrier().await;
    until("NATS brings again", PATIENCE, async || world.by_carrier().await, |n| *n > so_far + 100).await;
    load.stop().await;
    world.settles().await;
}
