//! A server that forgets what it acknowledged: put back in time, or its stream removed.

use std::time::Duration;

use divisi_events::carrier::Head;
use divisi_nats::{Nats, Options, StreamOptions};
use divisi_store::{Lane, Pos};

use crate::support::{EPOCH, PATIENCE, carrier, head, options, publish, server, start_of, stranger, until};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_put_back_by_five_hundred_messages_loses_nothing_and_is_filled_again() {
    let world = World::begin().await;
    let running = world.consume().await;
    let load = world.load(400);
    until("it has begun", PATIENCE, async || world.n_messages().await, |n| *n > 50).await;
    world.server.stop().await.expect("stopped");
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("data");
    world.server.copy_data(&copy).await.expect("copied");
    world.server.start().await.expect("started");
    let n_copied = world.n_messages().await;
    until("500 messages more", PATIENCE, async || world.n_messages().await, |n| *n >= n_copied + 500).await;
    world.server.kill().await.expect("killed");
    world.server.restore_data(&copy).await.expect("put back");
    world.server.start().await.expect("started");
    let so_far = world.n_entries().await;
    until("it goes on", PATIENCE, async || world.n_entries().await, |n| *n > so_far + 200).await;
    load.stop().await;
    world.settles().await;
    let n_sold = world.n_sold();
    until(
        "what was forgotten lies there again",
        PATIENCE,
        async || world.n_messages().await,
        |n| *n >= n_sold,
    )
    .await;
    running.stop().await;
}

/// What a client still held back when its server was put back in time is stored behind a gap. A relay does not take it
/// for the lane's end, for then the gap would stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_a_server_was_put_back_hides_no_gap() {
    const LANE: Lane = Lane(5);
    const OTHER: Lane = Lane(6);
    let server = server().await;
    let relay = carrier(&server).await;
    assert!(publish(&relay, "sales", LANE, 1..=5, 1).await.iter().all(Result::is_ok));
    server.stop().await.expect("stopped");
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("data");
    server.copy_data(&copy).await.expect("copied");
    server.start().await.expect("started");
    let again = async || publish(&relay, "sales", LANE, 6..=8, 1).await;
    until("it is published", PATIENCE, again, |outcomes| outcomes.iter().all(Result::is_ok)).await;
    assert!(publish(&relay, "sales", LANE, 9..=40, 1).await.iter().all(Result::is_ok));
    assert!(publish(&relay, "sales", OTHER, 1..=2, 1).await.iter().all(Result::is_ok));
    // Of each run but the first one all but the first.
    let stream = stranger(&server).await.get_stream("evt_sales").await.expect("the stream");
    let mut late = Vec::new();
    for sequence in (10..=40).chain([42]) {
        late.push(stream.get_raw_message(sequence).await.expect("it lies there"));
    }
    server.kill().await.expect("killed");
    server.restore_data(&copy).await.expect("put back");
    server.start().await.expect("started");
    let client = stranger(&server).await;
    for late in late {
        let sent = client.publish_with_headers(late.subject, late.headers, late.payload).await.expect("sent");
        sent.await.expect("stored");
    }
    let relay = carrier(&server).await;
    let place = async |lane| head(&relay, "sales", lane).await.expect("a head");
    assert_eq!(place(LANE).await, Head::At(EPOCH, Pos(5)), "10 to 40 are there, and 6 to 9 are not");
    assert_eq!(place(OTHER).await, Head::Empty, "2 is there, and 1 is not");
    assert!(publish(&relay, "sales", LANE, 6..=40, 1).await.iter().all(Result::is_ok));
    assert!(publish(&relay, "sales", OTHER, 1..=2, 1).await.iter().all(Result::is_ok));
    let stream = stranger(&server).await.get_stream("evt_sales").await.expect("the stream");
    assert_eq!(stream.cached_info().state.messages, 42, "the gaps are filled, and nothing lies there twice");
    assert_eq!(
        place(LANE).await,
        Head::At(EPOCH, Pos(9)),
        "the server knows those that follow by their names"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_removed_is_made_anew_and_filled_from_the_log() {
    let world = World::begin().await;
    let running = world.consume().await;
    let load = world.load(200);
    until("it has begun", PATIENCE, async || world.n_entries().await, |n| *n > 200).await;
    running.follows_the_carrier().await;
    let before = start_of(&world.server, "evt_sales").await;
    stranger(&world.server).await.delete_stream("evt_sales").await.expect("an operator removes it");
    let so_far = world.n_entries().await;
    until("it goes on", PATIENCE, async || world.n_entries().await, |n| *n > so_far + 200).await;
    let n_sold = world.n_sold();
    until("all of it lies there again", PATIENCE, async || world.n_messages().await, |n| *n >= n_sold).await;
    assert_ne!(start_of(&world.server, "evt_sales").await, before, "it is another stream now");
    running.follows_the_carrier().await;
    let so_far = world.by_carrier().await;
    until("NATS brings again", PATIENCE, async || world.by_carrier().await, |n| *n > so_far + 50).await;
    load.stop().await;
    world.settles().await;
}

/// What became too old was not forgotten: nothing is published again because of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_whose_events_are_all_too_old_goes_on_where_it_was() {
    let server = server().await;
    let stream = StreamOptions { max_age: Duration::from_millis(300), ..StreamOptions::default() };
    let carrier = Nats::connect(Options { stream, ..options(&server) }).await.expect("a carrier");
    assert!(publish(&carrier, "sales", Lane(5), 1..=3, 1).await.iter().all(Result::is_ok));
    let empty = async || head(&carrier, "sales", Lane(5)).await.expect("a head");
    let seen = until("the events are gone", PATIENCE, empty, |head| !matches!(head, Head::At(..))).await;
    assert_eq!(seen, Head::Unknown, "a relay would publish the whole log again");
    let published = publish(&carrier, "sales", Lane(5), 4..=6, 1).await;
    assert!(published.iter().all(Result::is_ok), "{published:?}");
}
