use std::collections::VecDeque;
use std::future::{pending, ready};

use divisi_store::Timestamp;

use super::following::HANDS_BYTES_MAX;
use super::*;
use crate::carrier::{Head, PublishError};

/// One subscription: what it brings, and then nothing.
struct Once(std::sync::Mutex<Option<Said>>);

struct Said(VecDeque<Option<Result<carrier::Carried, CarrierError>>>);

impl Arrivals for Said {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<carrier::Carried, CarrierError>>> {
        match self.0.pop_front() {
            Some(next) => Box::pin(ready(next)),
            None => Box::pin(pending()),
        }
    }
}

impl Carrier for Once {
    fn name(&self) -> &str {
        "once"
    }

    fn publish<'a>(
        &'a self,
        _: &'a divisi_contract::ServiceName,
        _: &'a str,
        _: Lane,
        _: &'a [Arc<Record>],
        _: Option<u64>,
    ) -> BoxFuture<'a, Vec<Result<Hint, PublishError>>> {
        Box::pin(ready(Vec::new()))
    }

    fn beacon<'a>(
        &'a self,
        _: &'a divisi_contract::ServiceName,
        _: &'a str,
        _: &'a Epochs,
        _: &'a [(Lane, Pos)],
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(ready(Ok(())))
    }

    fn head<'a>(
        &'a self,
        _: &'a divisi_contract::ServiceName,
        _: &'a str,
        _: Lane,
    ) -> BoxFuture<'a, Result<Head, CarrierError>> {
        Box::pin(pending())
    }

    fn read<'a>(
        &'a self,
        _: &'a divisi_contract::ServiceName,
        _: &'a str,
        _: Vec<(Lane, Option<Hint>)>,
    ) -> BoxFuture<'a, Result<Box<dyn Arrivals>, CarrierError>> {
        let said = self.0.lock().map(|mut said| said.take()).unwrap_or_default();
        let gone = || CarrierError::Unavailable("a second subscription".to_owned());
        Box::pin(ready(said.map(|said| Box::new(said) as Box<dyn Arrivals>).ok_or_else(gone)))
    }
}

fn record(pos: i64) -> Option<Result<carrier::Carried, CarrierError>> {
    record_of(pos, 2)
}

/// One with so large a payload.
fn record_of(pos: i64, bytes: usize) -> Option<Result<carrier::Carried, CarrierError>> {
    let record = Record {
        source: "shop".into(),
        topic: "sales".into(),
        lane: Lane(0),
        epoch: Epoch(1),
        pos: Pos(pos),
        kind: "Sold".into(),
        schema_v: 1,
        key: "apple".into(),
        headers: "{}".into(),
        payload: vec![b' '; bytes].into(),
        at: Timestamp(0),
    };
    Some(Ok(carrier::Carried::Record(Arc::new(record), Hint(format!("once:{pos}").into()))))
}

/// Subscribed to what is said; no lane is looked at.
async fn subscribed(
    said: impl IntoIterator<Item = Option<Result<carrier::Carried, CarrierError>>>,
) -> Carried {
    let carrier = Once(std::sync::Mutex::new(Some(Said(said.into_iter().collect()))));
    let backoff = Backoff { min: Duration::from_millis(1), max: Duration::from_millis(1) };
    let mut carried = Carried::new(Arc::new(carrier), backoff);
    let inbox = Inbox { consumer: "ledger".into(), source: "shop".into(), topic: "sales".into() };
    let marks = [(Lane(0), Watermark::default())];
    carried.begin(&marks, Epoch(1), Epochs::default(), (&[], LaneSet::ALL), Instant::now());
    carried.open(&inbox, Instant::now());
    assert!(matches!(carried.next().await, Came::Opened));
    carried
}

async fn positions(carried: &mut Carried) -> Vec<i64> {
    let Came::Arrivals(arrivals) = carried.next().await else { panic!("something else than arrivals") };
    let position = |carried| match carried {
        carrier::Carried::Record(record, _) => record.pos.0,
        carrier::Carried::Beacon { .. } => panic!("nobody sent a beacon"),
    };
    arrivals.into_iter().map(position).collect()
}

#[tokio::test(start_paused = true)]
async fn what_has_come_is_taken_at_once_and_nothing_is_waited_for() {
    let more = ARRIVALS_AT_ONCE as i64 + 1;
    let mut carried = subscribed((1..=more).map(record)).await;
    assert_eq!(positions(&mut carried).await, (1..more).collect::<Vec<_>>(), "so many are the limit");
    assert_eq!(positions(&mut carried).await, [more]);
    let nothing = tokio::time::timeout(Duration::from_secs(1), carried.next()).await;
    assert!(nothing.is_err(), "nothing more has come");
}

#[tokio::test]
async fn no_more_is_taken_at_once_than_one_lane_can_hold() {
    let half = HAND_BYTES_OF_A_LANE / 2;
    let mut carried =
        subscribed([record_of(1, half), record_of(2, HAND_BYTES_OF_A_LANE), record(3), record(4)]).await;
    assert_eq!(positions(&mut carried).await, [1]);
    assert_eq!(positions(&mut carried).await, [2], "one, however large it is");
    assert_eq!(positions(&mut carried).await, [3, 4]);
}

#[tokio::test]
async fn what_came_before_the_end_of_a_subscription_is_taken_and_the_end_is_told_behind_it() {
    let why = CarrierError::Unavailable("it is gone".to_owned());
    for end in [Some(Err(why)), None] {
        let mut carried = subscribed([record(1), record(2), end]).await;
        assert_eq!(positions(&mut carried).await, [1, 2]);
        assert!(matches!(carried.next().await, Came::Closed(_)), "and then it is over");
        assert!(matches!(carried.next().await, Came::Closed(_)), "until somebody subscribes anew");
        carried.failed(Instant::now());
        assert!(matches!(carried.way, Way::Closed));
    }
}

/// Lanes that follow their carrier from the start.
fn hinted(lanes: &[Lane]) -> Carried {
    let carrier = Once(std::sync::Mutex::new(None));
    let backoff = Backoff { min: Duration::from_millis(1), max: Duration::from_millis(1) };
    let mut carried = Carried::new(Arc::new(carrier), backoff);
    let marks: Vec<_> = lanes.iter().map(|lane| (*lane, Watermark::default())).collect();
    let hints: Vec<_> = lanes.iter().map(|lane| (*lane, "once:0".to_owned())).collect();
    carried.begin(&marks, Epoch(1), Epochs::default(), (&hints, LaneSet::ALL), Instant::now());
    carried
}

/// A record with so large a payload has come.
fn arrive(carried: &mut Carried, (lane, pos): (Lane, i64), bytes: usize) {
    let Some(Ok(carrier::Carried::Record(record, hint))) = record_of(pos, bytes) else { unreachable!() };
    carried.arrived(Arc::new(Record { lane, ..(*record).clone() }), hint, Instant::now());
}

#[tokio::test]
async fn a_lane_has_more_in_hand_than_its_own_while_there_is_room_and_leaves_the_others_theirs() {
    let mut carried = hinted(&[Lane(0), Lane(1)]);
    let quarter = HAND_BYTES_OF_A_LANE / 4;
    let room = (HANDS_BYTES_MAX / quarter) as i64;
    for pos in 1..=room * 2 {
        arrive(&mut carried, (Lane(0), pos), quarter);
    }
    let held = carried.lanes[0].hand.len() as i64;
    assert!((room / 2..=room).contains(&held), "{held} of {room}: far more than the lane's own four");
    let positions = carried.lanes[0].hand.keys().map(|(pos, _)| pos.0);
    assert!(positions.eq(1..=held), "the first ones, without a gap");
    for pos in 1..=8 {
        arrive(&mut carried, (Lane(1), pos), quarter);
    }
    assert_eq!(carried.lanes[1].hand.len(), 4, "its own, though the first has all that is shared");
    let bytes: usize = carried.lanes.iter().map(|following| following.bytes).sum();
    assert!(bytes <= HANDS_BYTES_MAX + 3 * HAND_BYTES_OF_A_LANE, "{bytes}");
}

#[tokio::test]
async fn a_lane_that_waits_gives_back_what_it_borrowed_and_one_that_is_stopped_keeps_nothing() {
    let mut carried = hinted(&[Lane(0)]);
    let quarter = HAND_BYTES_OF_A_LANE / 4;
    // The first is missing, so nothing leaves the hand.
    for pos in 2..=40 {
        arrive(&mut carried, (Lane(0), pos), quarter);
    }
    assert_eq!(carried.lanes[0].hand.len(), 39);
    let mut queues = [Queue::new(Lane(0), Pos(0), true)];
    queues[0].back_off(Instant::now(), |_| Duration::from_secs(1));
    carried.turn(&mut queues, 100, Instant::now());
    let positions = carried.lanes[0].hand.keys().map(|(pos, _)| pos.0);
    assert!(positions.eq(2..=4), "its own, and of that the first");
    arrive(&mut carried, (Lane(0), 5), quarter);
    arrive(&mut carried, (Lane(0), 6), quarter);
    assert_eq!(carried.lanes[0].hand.len(), 4, "no more than its own");
    queues[0].stop();
    carried.turn(&mut queues, 100, Instant::now());
    arrive(&mut carried, (Lane(0), 7), quarter);
    assert!(carried.lanes[0].hand.is_empty() && carried.lanes[0].bytes == 0, "it is never applied");
}

#[tokio::test]
async fn a_repeat_of_another_size_is_counted_as_it_is() {
    let mut carried = hinted(&[Lane(0)]);
    arrive(&mut carried, (Lane(0), 2), 10);
    arrive(&mut carried, (Lane(0), 2), 10_000);
    arrive(&mut carried, (Lane(0), 3), 10);
    let held: usize = carried.lanes[0].hand.values().map(|(record, _)| record.size()).sum();
    assert_eq!(carried.lanes[0].bytes, held);
}
