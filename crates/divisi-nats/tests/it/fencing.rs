//! Two relays at once, acknowledgements that were lost, windows against doubles that are too short.

use std::time::Duration;

use divisi_events::carrier::{Head, PublishError};
use divisi_nats::{Nats, Options, StreamOptions};
use divisi_store::{Lane, Pos};

use crate::support::{
    EPOCH, PATIENCE, carrier, head, next_pos, options, publish, read, server, start_of, stranger, until,
};

const LANE: Lane = Lane(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_overtaken_is_fenced_at_its_first_record() {
    let server = server().await;
    let (old, new) = (carrier(&server).await, carrier(&server).await);
    assert!(publish(&old, "sales", LANE, 1..=3, 1).await.iter().all(Result::is_ok));
    // The new one does not know where the lane ends, and looks.
    assert!(publish(&new, "sales", LANE, 4..=6, 2).await.iter().all(Result::is_ok));
    let zombie = publish(&old, "sales", LANE, 7..=9, 1).await;
    assert_eq!(zombie.len(), 3);
    assert!(zombie.iter().all(|outcome| matches!(outcome, Err(PublishError::Fenced))), "{zombie:?}");
    assert_eq!(
        head(&new, "sales", LANE).await.expect("a head"),
        Head::At(EPOCH, Pos(6)),
        "nothing of it is stored"
    );
    // It knows now, and is told again; the leader goes on as if nothing had been.
    let zombie = publish(&old, "sales", LANE, 7..=7, 1).await;
    assert!(matches!(zombie[0], Err(PublishError::Fenced)), "{zombie:?}");
    assert!(publish(&new, "sales", LANE, 7..=8, 2).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_takes_over_a_lane_that_a_zombie_still_writes() {
    let server = server().await;
    let (old, new) = (carrier(&server).await, carrier(&server).await);
    assert!(publish(&new, "sales", LANE, 1..=2, 2).await.iter().all(Result::is_ok));
    // A relay that compares nothing, such as one of another make.
    let records = [crate::support::record("sales", LANE, 3)];
    let unfenced = divisi_events::Carrier::publish(&old, &"shop".into(), "sales", LANE, &records, None).await;
    assert!(unfenced[0].is_ok());
    assert!(
        publish(&new, "sales", LANE, 4..=9, 2).await.iter().all(Result::is_ok),
        "it looks where the lane ends"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_though_its_acknowledgement_was_lost_is_not_stored_twice() {
    let server = server().await;
    let (first, again) = (carrier(&server).await, carrier(&server).await);
    assert!(publish(&first, "sales", LANE, 1..=6, 1).await.iter().all(Result::is_ok));
    let repeated = publish(&again, "sales", LANE, 3..=8, 1).await;
    assert!(repeated.iter().all(Result::is_ok), "a double is a success: {repeated:?}");
    assert_eq!(n_messages(&server).await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_behind_the_window_against_doubles_is_stored_again_and_breaks_no_order() {
    let server = server().await;
    let stream = StreamOptions { duplicate_window: Duration::from_millis(100), ..StreamOptions::default() };
    let carrier = Nats::connect(Options { stream, ..options(&server) }).await.expect("a carrier");
    assert!(publish(&carrier, "sales", LANE, 1..=4, 1).await.iter().all(Result::is_ok));
    let again = async || {
        assert!(publish(&carrier, "sales", LANE, 2..=4, 1).await.iter().all(Result::is_ok));
        n_messages(&server).await
    };
    until("the server has forgotten that it knows them", PATIENCE, again, |n| *n >= 7).await;
    assert!(publish(&carrier, "sales", LANE, 5..=5, 1).await.iter().all(Result::is_ok));
    let mut arrivals = read(&carrier, "sales", LANE, Some(start_of(&server, "evt_sales").await)).await;
    let (mut highest, mut n_repeats) = (0, 0);
    while highest < 5 {
        let pos = next_pos(&mut *arrivals).await;
        assert!(pos <= highest + 1, "{pos} arrived behind {highest}");
        n_repeats += u32::from(pos <= highest);
        highest = pos.max(highest);
    }
    assert!(n_repeats >= 3, "they lie there twice");
}

async fn n_messages(server: &divisi_servers::Nats) -> u64 {
    let stream = stranger(server).await.get_stream("evt_sales").await.expect("the stream");
    stream.cached_info().state.messages
}
