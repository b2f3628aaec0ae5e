use std::sync::Arc;
use std::time::Duration;

use divisi_store::{Epoch, Lane, Pos, Record, Timestamp};
use tokio::time::Instant;

use super::{Queue, Taken};

fn record(pos: i64) -> Arc<Record> {
    Arc::new(Record {
        source: "source".into(),
        topic: "topic".into(),
        lane: Lane(3),
        epoch: Epoch(1),
        pos: Pos(pos),
        kind: "Kind".into(),
        schema_v: 1,
        key: "key".into(),
        headers: "{}".into(),
        payload: "{}".into(),
        at: Timestamp(0),
    })
}

fn queue(at: i64, records: std::ops::RangeInclusive<i64>) -> Queue {
    let mut queue = Queue::new(Lane(3), Pos(at), true);
    queue.asked = true;
    for pos in records {
        assert_eq!(queue.take(record(pos), None), Taken::Queued);
    }
    queue
}

#[test]
fn only_what_is_next_is_taken() {
    let mut queue = queue(5, 6..=8);
    assert_eq!(queue.take(record(5), None), Taken::Repeat);
    assert_eq!(queue.take(record(8), None), Taken::Repeat);
    assert_eq!(queue.take(record(10), None), Taken::Gap);
    assert_eq!(queue.take(record(9), None), Taken::Queued);
    assert_eq!((queue.at(), queue.ahead()), (Pos(5), Pos(9)));
}

#[test]
fn a_watermark_that_moved_takes_what_is_done_along() {
    let mut queue = queue(0, 1..=5);
    let bytes = queue.bytes();
    queue.moved(Pos(2));
    assert_eq!((queue.at(), queue.ahead(), queue.bytes()), (Pos(2), Pos(5), bytes / 5 * 3));
    queue.moved(Pos(9));
    assert_eq!((queue.at(), queue.ahead(), queue.bytes()), (Pos(9), Pos(9), 0));
}

#[test]
fn a_watermark_that_went_back_leaves_nothing_in_hand() {
    let mut queue = queue(5, 6..=8);
    queue.moved(Pos(3));
    assert_eq!((queue.at(), queue.ahead(), queue.bytes()), (Pos(3), Pos(3), 0));
    assert!(!queue.asked, "the question on its way asks for what comes after 8");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_backs_off_holds_nothing_and_waits_longer_each_time() {
    let mut queue = queue(0, 1..=5);
    let delay = |attempts| Duration::from_secs(u64::from(attempts));
    assert_eq!(queue.back_off(Instant::now(), delay), 1);
    assert_eq!((queue.ahead(), queue.asked), (Pos(0), false));
    assert!(!queue.wants(100, Instant::now()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(queue.wants(100, Instant::now()));
    assert_eq!(queue.back_off(Instant::now(), delay), 2);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!queue.wants(100, Instant::now()));
    assert!(queue.alarm(Instant::now(), Duration::from_secs(2)));
    assert!(!queue.alarm(Instant::now(), Duration::from_secs(2)), "once in a row of attempts");
    assert!(queue.free_again());
    assert_eq!(queue.back_off(Instant::now(), delay), 1, "a success ends the row");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_for_the_store_hears_that_it_works_and_one_that_waits_for_a_handler_does_not() {
    let long = |_| Duration::from_secs(30);
    let (mut of_store, mut of_handler) = (queue(0, 1..=5), queue(0, 1..=5));
    of_store.back_off(Instant::now(), long);
    of_store.waits_for_store();
    of_handler.back_off(Instant::now(), long);
    for queue in [&mut of_store, &mut of_handler] {
        queue.store_works(Instant::now());
    }
    assert!(of_store.wants(100, Instant::now()));
    assert!(!of_handler.wants(100, Instant::now()));
    assert_eq!(of_store.back_off(Instant::now(), long), 2, "it is the same row of attempts");
    of_store.store_works(Instant::now());
    assert!(!of_store.wants(100, Instant::now()), "what it waits for now is another thing");
}

#[tokio::test(start_paused = true)]
async fn a_paused_lane_tries_one_event_with_care() {
    let mut queue = Queue::new(Lane(3), Pos(0), true);
    queue.pause(Instant::now() + Duration::from_secs(10));
    assert!(!queue.wants(100, Instant::now()));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(queue.wants(100, Instant::now()));
    for pos in 1..=3 {
        queue.take(record(pos), None);
    }
    let batch = queue.batch(Epoch(1), 100);
    assert!(batch.trial && batch.careful);
    assert_eq!(batch.calls_max, 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_commit_events_go_one_by_one_until_the_guilty_one_is_found() {
    let mut queue = queue(0, 1..=3);
    assert_eq!(queue.batch(Epoch(1), 100).calls_max, usize::MAX);
    queue.one_by_one();
    assert_eq!(queue.batch(Epoch(1), 100).calls_max, 1);
    queue.moved(Pos(1));
    assert_eq!(queue.failed(), 1);
    assert_eq!(queue.batch(Epoch(1), 100).attempts, 1);
    queue.condemn("it cannot commit".to_owned());
    assert!(queue.batch(Epoch(1), 100).condemned.is_some());
    queue.moved(Pos(2));
    let batch = queue.batch(Epoch(1), 100);
    assert_eq!((batch.attempts, batch.condemned, batch.calls_max), (0, None, 1));
    queue.take(record(4), None);
    queue.moved(Pos(3));
    assert_eq!(queue.batch(Epoch(1), 100).calls_max, usize::MAX, "it is over");
}

#[test]
fn a_stopped_lane_never_goes_on() {
    let mut queue = queue(0, 1..=3);
    queue.stop();
    queue.pause(Instant::now());
    queue.back_off(Instant::now(), |_| Duration::ZERO);
    assert!(!queue.free_again());
    assert!(queue.is_stopped() && !queue.wants(100, Instant::now()) && !queue.ready(Instant::now()));
}
