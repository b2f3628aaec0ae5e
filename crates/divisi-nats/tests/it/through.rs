//! From the transaction of one service to the inbox of another, through NATS.

use std::sync::Arc;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::Event;
use divisi_events::Carrier;
use divisi_events::relay::{Granted, Lease};
use divisi_nats::StreamOptions;
use divisi_store::outbox::PageWanted;
use divisi_store::{Lane, Pos, StoreError, Tx};

use crate::support::PATIENCE;
use crate::world::{ITEMS, Sold, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_takes_effect_once_and_nats_brought_it() {
    let world = World::begin().await;
    let running = world.consume().await;
    let load = world.load(300);
    crate::support::until("there is much", PATIENCE, async || world.n_entries().await, |n| *n > 400).await;
    load.stop().await;
    world.settles().await;
    assert_eq!(world.by_carrier().await, world.n_entries().await, "nothing came from the log");
    assert_eq!(running.input().falls, 0);
    running.stop().await;
    assert_eq!(world.n_messages().await, world.n_sold(), "each event lies there once");
    // A restart goes on from its hints.
    let running = world.consume().await;
    for item in ITEMS {
        running.reached(&world.sell(item).await, PATIENCE).await;
    }
    world.settles().await;
    assert_eq!(world.by_carrier().await, world.n_entries().await);
    assert_eq!(running.input().repeats, 0, "what took effect is not read again");
}

/// F-21, and a relay that was stopped for long: everything lies on the carrier twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_on_the_carrier_twice_takes_effect_once() {
    let window = Duration::from_millis(100);
    let world = World::begin_with(|options| {
        options.stream = StreamOptions { duplicate_window: window, ..StreamOptions::default() };
    })
    .await;
    let running = world.consume().await;
    for _ in 0..5 {
        for item in ITEMS {
            running.reached(&world.sell(item).await, PATIENCE).await;
        }
    }
    let zombie = world.carrier().await;
    let records = async |lane| {
        let lanes = vec![(lane, Pos(0))];
        let wanted =
            PageWanted { topic: Sold::TOPIC.into(), lanes, max_records: 1_000, max_bytes: usize::MAX };
        world.page(wanted).await
    };
    let n_sold = world.n_sold();
    let again = async || {
        for lane in (0..64).map(Lane) {
            let records = records(lane).await;
            let published = zombie.publish(&"shop".into(), Sold::TOPIC, lane, &records, None).await;
            assert!(published.iter().all(Result::is_ok), "{published:?}");
        }
        world.n_messages().await
    };
    crate::support::until("all of it lies there twice", PATIENCE, again, |n| *n >= n_sold * 2).await;
    for item in ITEMS {
        running.reached(&world.sell(item).await, PATIENCE).await;
    }
    world.settles().await;
}

/// F-14, F-15: an older relay that has not noticed, and one that holds the same token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_relays_that_all_believe_to_lead_do_no_harm() {
    let mut world = World::begin().await;
    world.relay(Arc::new(Token(1))).await;
    let same = Granted::new(world.shop.clone()).take("").await.expect("a token").expect("granted");
    world.relay(Arc::new(Token(same))).await;
    let running = world.consume().await;
    let load = world.load(200);
    crate::support::until("there is much", PATIENCE, async || world.n_entries().await, |n| *n > 600).await;
    load.stop().await;
    world.settles().await;
    assert!(world.by_carrier().await > 0);
    running.stop().await;
}

/// A lease that is always granted under one token.
struct Token(u64);

impl Lease for Token {
    fn take<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(std::future::ready(Ok(Some(self.0))))
    }

    fn holds<'a>(
        &'a self,
        _tx: &'a mut Tx,
        _name: &'a str,
        _token: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn release<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
