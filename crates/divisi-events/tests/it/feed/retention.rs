//! What readers say decides what the log may forget.

use std::sync::Arc;
use std::time::Duration;

use divisi_call::{Client, Place, Route};
use divisi_contract::event::LANES;
use divisi_contract::{CallError, Context, Event};
use divisi_events::{EventLogClient, Feed, Fetch, FetchRefused, LaneWanted, LogOptions, epochs};
use divisi_sqlite::retention;
use divisi_store::reader::{self, Reader, ReaderLane, UNSEEN_ALARM};
use divisi_store::{Class, Epoch, Epochs, Lane, Pos, Read, Timestamp, Tx};

use super::fixture::{Fixture, Posted, want};

impl Fixture {
    async fn tell(&self, reader: &str, lane: u16, epoch: Epoch, pos: i64) {
        let told = self
            .store
            .run(Class::Consumer, async |tx: &mut Tx| {
                reader::register(tx, reader, Posted::TOPIC, LANES).await?;
                reader::tell(tx, reader, Posted::TOPIC, &[(Lane(lane), epoch, Pos(pos))]).await
            })
            .await;
        told.expect("it is kept");
    }

    async fn safe(&self, lane: u16) -> Option<Pos> {
        self.store
            .read(async |read: &mut Read| reader::safe_position(read, Posted::TOPIC, Lane(lane)).await)
            .await
            .expect("the store can be read")
    }

    async fn begin_epoch(&self) -> Epoch {
        self.store.backend().begin_epoch(Epoch(0)).await.expect("an epoch begins")
    }
}

#[tokio::test]
async fn the_slowest_reader_bounds_what_is_safe() {
    let fixture = Fixture::new(LogOptions::default()).await;
    fixture.post(&[1; 10], 0).await;
    let epoch = fixture.epoch().await;
    assert_eq!(fixture.safe(1).await, Some(Pos(0)), "registered, and has read nothing");
    fixture.tell("search", 1, epoch, 8).await;
    assert_eq!(fixture.safe(1).await, Some(Pos(8)));
    fixture.tell("relay", 1, epoch, 5).await;
    assert_eq!(fixture.safe(1).await, Some(Pos(5)));
    assert!(fixture.log.drop_reader("relay").await.expect("it is dropped"));
    assert_eq!(fixture.safe(1).await, Some(Pos(8)));
    assert!(fixture.log.drop_reader("search").await.expect("it is dropped"));
    assert_eq!(fixture.safe(1).await, None, "nobody waits");
}

#[tokio::test]
async fn beyond_the_fork_of_a_later_epoch_nothing_is_safe() {
    let fixture = Fixture::new(LogOptions::default()).await;
    let first = fixture.epoch().await;
    fixture.post(&[1; 4], 0).await;
    let second = fixture.begin_epoch().await;
    fixture.post(&[1; 4], 0).await;
    // It read positions 5 and 6 in a life that this database has lost; those of today it has not seen.
    fixture.tell("search", 1, first, 6).await;
    assert_eq!(fixture.safe(1).await, Some(Pos(4)));
    let readers = fixture.log.readers().await.expect("the store can be read");
    let lane = readers[0].lanes[1];
    assert_eq!((lane.pos, lane.shared, lane.head, lane.unread()), (Pos(6), Pos(4), Pos(8), 4));
    assert!(lane.unread_since.is_some());
    fixture.tell("search", 1, second, 6).await;
    assert_eq!(fixture.safe(1).await, Some(Pos(6)));
}

#[tokio::test]
async fn a_reader_of_an_unknown_life_needs_everything() {
    let fixture = Fixture::new(LogOptions::default()).await;
    let epoch = fixture.epoch().await;
    fixture.post(&[1; 4], 0).await;
    for unknown in [Epoch(epoch.0 - 1), Epoch(epoch.0 + 1)] {
        fixture.tell("search", 1, unknown, 4).await;
        assert_eq!(fixture.safe(1).await, Some(Pos(0)), "only its own list knows where the two parted");
        let forgotten = retention::forget(&fixture.store, Posted::TOPIC, Duration::ZERO).await;
        assert_eq!(forgotten.expect("retention works"), 0, "and retention asks the same");
    }
    fixture.tell("search", 1, epoch, 4).await;
    assert_eq!(fixture.safe(1).await, Some(Pos(4)));
}

#[tokio::test]
async fn an_epoch_stays_in_the_list_while_somebody_may_be_in_it() {
    let fixture = Fixture::new(LogOptions::default()).await;
    let epoch = fixture.epoch().await;
    let oldest = async || {
        fixture
            .store
            .read(async |read: &mut Read| reader::oldest_epoch(read).await)
            .await
            .expect("the store can be read")
    };
    fixture.tell("search", 1, epoch, 0).await;
    assert_eq!(oldest().await, Some(Epoch(0)), "of the other lanes it has not said anything");
    for lane in 0..LANES {
        fixture.tell("search", lane, epoch, 0).await;
    }
    assert_eq!(oldest().await, Some(epoch));
    fixture.log.drop_reader("search").await.expect("it is dropped");
    assert_eq!(oldest().await, None);
}

#[tokio::test]
async fn retention_takes_what_was_applied_and_leaves_what_is_in_hand() {
    let fixture = Fixture::new(LogOptions::default()).await;
    let epoch = fixture.epoch().await;
    fixture.post(&[1; 10], 0).await;
    let mut fetch = want(epoch, &[Pos(0); LANES as usize], 0);
    fetch.lanes = vec![LaneWanted { lane: Lane(1), epoch, pos: Pos(9), applied: Pos(6) }];
    assert_eq!(fixture.fetch(fetch).await.records.len(), 1);
    fixture.log.keep().await.expect("it is kept");
    let forgotten = retention::forget(&fixture.store, Posted::TOPIC, Duration::ZERO).await;
    assert_eq!(forgotten.expect("retention works"), 6);

    // What is in memory is still answered; what is not is refused, and never skipped.
    fixture.begin_epoch().await;
    let epoch = fixture.epoch().await;
    let mut at = [Pos(0); LANES as usize];
    let refused = fixture.log.fetch(&Context::root("search"), want(epoch, &at, 0)).await;
    let floor = FetchRefused::RetentionExceeded { lane: Lane(1), floor: Pos(6) };
    assert_eq!(refused, Err(CallError::Refused(floor)));
    at[1] = Pos(6);
    let left = fixture.fetch(want(epoch, &at, 0)).await;
    assert_eq!(left.records.iter().map(|record| record.pos.0).collect::<Vec<_>>(), [7, 8, 9, 10]);
}

#[tokio::test]
async fn readers_that_know_more_than_the_database_begin_one_epoch_together() {
    let fixture = Arc::new(Fixture::new(LogOptions::default()).await);
    fixture.post(&[1; 3], 0).await;
    let before = fixture.epoch().await;
    let later = Epoch(before.0 + 1_000_000_000);
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.fetch(want(later, &[Pos(3); LANES as usize], 0)).await })
        })
        .collect();
    let mut begun = Vec::new();
    for asked in asked {
        let fetched = asked.await.expect("it is answered");
        assert!(fetched.records.is_empty());
        begun.push(fetched.epochs.clone());
    }
    begun.dedup();
    let [list] = &begun[..] else { panic!("one list for all: {begun:?}") };
    assert_eq!(list.known.len(), 2, "one epoch began: {list:?}");
    assert!(list.current() > later);
    // Their list and this one part where the database was restored, and what they have beyond is named.
    let mine = Epochs { known: vec![before, later], forks: Vec::new() };
    let entered = epochs::enter(list, &mine, Lane(1), Pos(5)).expect("there is an epoch in common");
    assert_eq!((entered.pos, entered.lost), (Pos(3), 2));
}

#[tokio::test]
async fn in_one_process_a_record_is_handed_over_and_not_copied() {
    let fixture = Fixture::new(LogOptions::default()).await;
    let epoch = fixture.epoch().await;
    let route = Route::new("posts");
    route.lead_to(Place::Local(vec![EventLogClient::serve(Arc::clone(&fixture.log), None)]));
    let client = EventLogClient::over("search".into(), route);
    let ask = async || {
        let want: Fetch = want(epoch, &[Pos(0); LANES as usize], 0);
        Feed::fetch(&client, &Context::root("search"), want).await.expect("the log answers").records
    };
    assert!(ask().await.is_empty(), "and now the tail knows the ends");
    fixture.post(&[1], 0).await;
    let (first, second) = (ask().await, ask().await);
    assert!(Arc::ptr_eq(&first[0], &second[0]), "the same record in memory");
}

#[test]
fn a_reader_that_is_not_heard_of_is_worth_an_alarm() {
    let seen = |micros| ReaderLane {
        lane: Lane(0),
        epoch: Epoch(1),
        pos: Pos(1),
        shared: Pos(1),
        head: Pos(1),
        unread_since: None,
        seen_at: Timestamp(micros),
    };
    let reader = Reader { name: "search".into(), topic: "posts".into(), lanes: vec![seen(5), seen(7)] };
    let alarm = i64::try_from(UNSEEN_ALARM.as_micros()).expect("an hour");
    assert!(!reader.is_unseen(Timestamp(7 + alarm - 1)), "one lane was heard of");
    assert!(reader.is_unseen(Timestamp(7 + alarm)));
    assert!(!reader.is_unseen(Timestamp(0)), "a clock that was set back alarms nobody");
}
