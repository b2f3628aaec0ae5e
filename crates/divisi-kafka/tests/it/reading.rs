//! Hints, heads and subscriptions beyond the suite.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_events::carrier::{Arrivals, Carried, CarrierError, Head, Hint};
use divisi_kafka::Kafka;
use divisi_store::{Epoch, Lane, Pos, Record, Timestamp};
use tokio::time::timeout;

use crate::broker;

const TOPIC: &str = "sales";
const EPOCH: Epoch = Epoch(17);

fn shop() -> ServiceName {
    ServiceName::from("shop")
}

fn record(lane: Lane, epoch: Epoch, pos: i64) -> Arc<Record> {
    Arc::new(Record {
        source: shop(),
        topic: TOPIC.into(),
        lane,
        epoch,
        pos: Pos(pos),
        kind: "Sold".into(),
        schema_v: 1,
        key: format!("item/{lane}").into(),
        headers: "{}".into(),
        payload: format!(r#"{{"n":{pos}}}"#).into(),
        at: Timestamp(1_700_000_000_000_000 + pos),
    })
}

async fn publish(kafka: &Kafka, lane: Lane, epoch: Epoch, positions: RangeInclusive<i64>) -> Vec<Hint> {
    let records: Vec<_> = positions.map(|pos| record(lane, epoch, pos)).collect();
    let outcomes = kafka.publish(&shop(), TOPIC, lane, &records, None).await;
    outcomes.into_iter().map(|outcome| outcome.expect("acknowledged")).collect()
}

/// Publishes as a relay does: again, until all is acknowledged.
async fn publish_until_acknowledged(kafka: &Kafka, lane: Lane, epoch: Epoch, positions: RangeInclusive<i64>) {
    let records: Vec<_> = positions.map(|pos| record(lane, epoch, pos)).collect();
    let acknowledged = async {
        while kafka.publish(&shop(), TOPIC, lane, &records, None).await.iter().any(Result::is_err) {}
    };
    timeout(Duration::from_secs(20), acknowledged).await.expect("acknowledged in time");
}

async fn read(kafka: &Kafka, lane: Lane, hint: Option<Hint>) -> Box<dyn Arrivals> {
    kafka.read(&shop(), TOPIC, vec![(lane, hint)]).await.expect("a subscription")
}

/// The position that arrives next.
async fn arrives(arrivals: &mut dyn Arrivals) -> (Epoch, i64) {
    arrives_or_ends(arrivals).await.expect("failed")
}

/// The position that arrives next, unless the subscription ends before, which its reader answers with another one.
async fn arrives_or_ends(arrivals: &mut dyn Arrivals) -> Result<(Epoch, i64), CarrierError> {
    loop {
        let arrived =
            timeout(Duration::from_secs(20), arrivals.next()).await.expect("nothing arrived in time");
        match arrived.expect("over")? {
            Carried::Record(record, _) => return Ok((record.epoch, record.pos.0)),
            Carried::Beacon { .. } => {}
        }
    }
}

async fn head(kafka: &Kafka, lane: Lane) -> Head {
    kafka.head(&shop(), TOPIC, lane).await.expect("a head")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_leads_to_another_record_is_void() {
    let broker = broker::shared().await;
    let kafka = broker.carrier();
    let hints = publish(&kafka, Lane(0), EPOCH, 1..=9).await;
    assert_eq!(arrives(&mut *read(&kafka, Lane(0), Some(hints[3].clone())).await).await, (EPOCH, 4));
    broker.delete(TOPIC).await;
    // The relay would hear that the topic is another one, and ask what it holds. For a moment the cluster speaks of the old one.
    let newer = Epoch(18);
    while !matches!(kafka.head(&shop(), TOPIC, Lane(0)).await, Ok(Head::Empty)) {}
    publish_until_acknowledged(&kafka, Lane(0), newer, 1..=9).await;
    // What lies at the hint's offset is seen to be another record, and reading goes on at the end; what the client had on its way
    // may come before. One that still hears of the old topic ends its subscription, and the next one begins at the same hint.
    for pos in 10..=30 {
        let mut arrivals = read(&kafka, Lane(0), Some(hints[3].clone())).await;
        let next = tokio::spawn(async move {
            loop {
                let (epoch, at) = arrives_or_ends(&mut *arrivals).await?;
                assert_eq!(epoch, newer);
                assert_ne!(at, 4, "what lies where the hint led is not what it named");
                if at >= pos {
                    return Ok::<_, CarrierError>(());
                }
            }
        });
        publish_until_acknowledged(&kafka, Lane(0), newer, pos..=pos).await;
        if next.await.expect("it arrives").is_ok() {
            return;
        }
    }
    panic!("every subscription ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_write_is_passed_over() {
    let broker = broker::shared().await;
    let kafka = broker.carrier();
    let mut arrivals = read(&kafka, Lane(2), None).await;
    publish(&kafka, Lane(2), EPOCH, 1..=1).await;
    broker.scribble(TOPIC, 2, b"\xff not an event").await;
    broker.scribble(TOPIC, 2, b"").await;
    publish(&kafka, Lane(2), EPOCH, 2..=2).await;
    assert_eq!(arrives(&mut *arrivals).await, (EPOCH, 1));
    assert_eq!(arrives(&mut *arrivals).await, (EPOCH, 2));
    assert_eq!(head(&kafka, Lane(2)).await, Head::At(EPOCH, Pos(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_finds_cloud_events_in_order_of_their_key() {
    let broker = broker::shared().await;
    let kafka = broker.carrier();
    publish(&kafka, Lane(11), EPOCH, 1..=3).await;
    let lying = broker.holds(TOPIC).await;
    assert_eq!(lying.len(), 3);
    for (lying, sequence) in lying.iter().zip(1..) {
        assert_eq!((lying.partition, &*lying.key), (3, "item/11"));
        let header = |name: &str| lying.headers.get(name).map(String::as_str);
        assert_eq!(header("ce_specversion"), Some("1.0"));
        assert_eq!(header("ce_type"), Some("market.shop.Sold.v1"));
        assert_eq!(header("ce_id"), Some(&*format!("17/sales/11/{sequence}")));
        assert_eq!(header("ce_sequence"), Some(&*format!("{sequence:020}")));
        assert_eq!(header("content-type"), Some("application/json"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_lies_too_far_back_is_unknown() {
    let broker = broker::shared().await;
    let kafka = broker.carrier();
    publish(&kafka, Lane(0), EPOCH, 1..=5).await;
    assert_eq!(
        (head(&kafka, Lane(0)).await, head(&kafka, Lane(1)).await),
        (Head::At(EPOCH, Pos(5)), Head::Empty)
    );
    // Lane 8 shares the partition.
    let began = Instant::now();
    publish(&kafka, Lane(8), EPOCH, 1..=2_500).await;
    println!("published 2500 records in {:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(head(&kafka, Lane(8)).await, Head::At(EPOCH, Pos(2_500)));
    println!("found the heads in {:?}", began.elapsed());
    assert_eq!(head(&kafka, Lane(0)).await, Head::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_hears_that_the_topic_is_another_one() {
    let broker = broker::shared().await;
    let kafka = broker.carrier();
    publish(&kafka, Lane(0), EPOCH, 1..=5).await;
    broker.delete(TOPIC).await;
    let records = [record(Lane(0), EPOCH, 6)];
    let outcome = loop {
        // The first ones may be told that they were not acknowledged.
        let outcome = kafka.publish(&shop(), TOPIC, Lane(0), &records, None).await.remove(0);
        let error = outcome.expect_err("the topic is gone").to_string();
        if error.contains("no longer holds") {
            break error;
        }
    };
    assert!(outcome.contains("was deleted, and is made anew"), "{outcome}");
    assert_eq!(head(&kafka, Lane(0)).await, Head::Empty);
    publish(&kafka, Lane(0), EPOCH, 1..=6).await;
}

/// Its own runtime, which waits at its end for what closes on its threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_close_in_time_though_the_broker_hangs() {
    let broker = broker::alone().await;
    let (kafka, server) = (broker.carrier(), broker.server.clone());
    let closed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            publish(&kafka, Lane(0), EPOCH, 1..=5).await;
            let arrivals = read(&kafka, Lane(0), None).await;
            server.freeze().await.expect("it freezes");
            drop((arrivals, kafka));
        });
        let began = Instant::now();
        drop(runtime);
        began.elapsed()
    });
    let closed = tokio::task::spawn_blocking(move || closed.join()).await.expect("joined");
    broker.server.thaw().await.expect("it thaws");
    let closed = closed.expect("it does not panic");
    assert!(closed < Duration::from_secs(5), "closed after {closed:?}");
}
