//! What every carrier promises: order within a lane, hints that resume, heads that do not boast.
//!
//! A carrier may lose and repeat. On a good day, which is what the suite gives it, nothing of that may come from the
//! carrier's own code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divisi_contract::ServiceName;
use divisi_store::epoch::Fork;
use divisi_store::{Epoch, Epochs, Lane, Pos, Record, Timestamp};
use tokio::time::timeout;

use crate::carrier::{Arrivals, Carried, Carrier, Head, Hint};

/// How long the suite waits for what must arrive, before it says that it did not.
const PATIENCE: Duration = Duration::from_secs(20);
const EPOCH: Epoch = Epoch(1_700_000_000_000_000);

/// Holds a carrier against everything that relays and consumers rely on; panics at the first promise that is broken.
///
/// `topic` makes a topic that nothing was published in, on a carrier without faults. It is asked once a promise; the
/// topic has at least the lanes 0 to 7.
pub async fn carrier_suite<M>(topic: M)
where
    M: AsyncFn() -> (Arc<dyn Carrier>, Arc<str>),
{
    for promise in 0..8 {
        let (carrier, topic) = topic().await;
        let subject = Subject { carrier, topic, source: ServiceName::from("conformance") };
        match promise {
            0 => subject.records_of_a_lane_arrive_in_order().await,
            1 => subject.a_record_arrives_as_it_was_published().await,
            2 => subject.a_hint_resumes_at_or_before_what_follows_it().await,
            3 => subject.a_void_hint_starts_at_the_end().await,
            4 => subject.a_head_is_never_above_what_was_published().await,
            5 => subject.what_is_published_again_does_not_break_the_order().await,
            6 => subject.a_reader_gets_only_the_lanes_it_asked_for().await,
            _ => subject.a_beacon_arrives().await,
        }
    }
}

struct Subject {
    carrier: Arc<dyn Carrier>,
    topic: Arc<str>,
    source: ServiceName,
}

impl Subject {
    async fn records_of_a_lane_arrive_in_order(&self) {
        let lanes = [Lane(0), Lane(3), Lane(7)];
        let mut arrivals = self.read(lanes.map(|lane| (lane, None)).into()).await;
        for batch in 0..5 {
            for lane in lanes {
                self.publish(lane, batch * 7 + 1..=batch * 7 + 7).await;
            }
        }
        let mut seen: BTreeMap<Lane, i64> = BTreeMap::new();
        while lanes.iter().any(|lane| seen.get(lane) != Some(&35)) {
            let (record, _) = record(&mut *arrivals).await;
            let at = seen.entry(record.lane).or_default();
            assert!(record.pos.0 <= *at + 1, "lane {}: {} arrived behind {at}", record.lane, record.pos);
            *at = record.pos.0.max(*at);
        }
    }

    async fn a_record_arrives_as_it_was_published(&self) {
        let mut arrivals = self.read(vec![(Lane(2), None)]).await;
        self.publish(Lane(2), 1..=3).await;
        for pos in 1..=3 {
            let (record, hint) = record(&mut *arrivals).await;
            assert_eq!(*record, *self.record(Lane(2), pos));
            let name = format!("{}:", self.carrier.name());
            assert!(hint.0.starts_with(&name), "the hint `{}` does not begin with `{name}`", hint.0);
        }
    }

    async fn a_hint_resumes_at_or_before_what_follows_it(&self) {
        let mut arrivals = self.read(vec![(Lane(1), None)]).await;
        let published = self.publish(Lane(1), 1..=10).await;
        let mut delivered = Vec::new();
        while delivered.len() < 10 {
            delivered.push(record(&mut *arrivals).await.1);
        }
        for hints in [published, delivered] {
            let mut arrivals = self.read(vec![(Lane(1), Some(hints[3].clone()))]).await;
            let mut last = None;
            while last != Some(Pos(10)) {
                let (record, _) = record(&mut *arrivals).await;
                let most = last.map_or(Pos(5), Pos::next);
                assert!(record.pos <= most, "{} arrived, {most} or less was next", record.pos);
                last = last.max(Some(record.pos));
            }
        }
    }

    async fn a_void_hint_starts_at_the_end(&self) {
        self.publish(Lane(4), 1..=5).await;
        let void = Hint(format!("{}:a stream that never was:1", self.carrier.name()).into());
        for hint in [void, Hint("another".into()), Hint("".into())] {
            let end = self.end(Lane(4)).await;
            let mut arrivals = self.read(vec![(Lane(4), Some(hint))]).await;
            self.publish(Lane(4), end + 1..=end + 1).await;
            assert_eq!(record(&mut *arrivals).await.0.pos, Pos(end + 1));
        }
    }

    async fn a_head_is_never_above_what_was_published(&self) {
        let head = async || self.carrier.head(&self.source, &self.topic, Lane(5)).await.expect("head");
        assert!(!matches!(head().await, Head::At(..)), "nothing was published");
        for pos in 1..=4 {
            self.publish(Lane(5), pos..=pos).await;
            if let Head::At(epoch, at) = head().await {
                assert_eq!(epoch, EPOCH);
                assert!((1..=pos).contains(&at.0), "the head is {at}, {pos} were published");
            }
        }
        let other = self.carrier.head(&self.source, &self.topic, Lane(6)).await.expect("head");
        assert!(!matches!(other, Head::At(..)), "nothing was published in this lane");
    }

    async fn what_is_published_again_does_not_break_the_order(&self) {
        let mut arrivals = self.read(vec![(Lane(0), None)]).await;
        self.publish(Lane(0), 1..=6).await;
        self.publish(Lane(0), 4..=9).await;
        let mut at = 0;
        while at < 9 {
            let (record, _) = record(&mut *arrivals).await;
            assert!(record.pos.0 <= at + 1, "{} arrived behind {at}", record.pos);
            at = at.max(record.pos.0);
        }
    }

    async fn a_reader_gets_only_the_lanes_it_asked_for(&self) {
        let mut arrivals = self.read(vec![(Lane(1), None)]).await;
        self.publish(Lane(0), 1..=3).await;
        self.publish(Lane(1), 1..=3).await;
        for pos in 1..=3 {
            let (record, _) = record(&mut *arrivals).await;
            assert_eq!((record.lane, record.pos), (Lane(1), Pos(pos)));
        }
    }

    async fn a_beacon_arrives(&self) {
        let mut arrivals = self.read(vec![(Lane(0), None)]).await;
        let forks = vec![Fork { lane: Lane(0), epoch: EPOCH, fork: Pos(3) }];
        let epochs = Epochs { known: vec![EPOCH], forks };
        let heads = vec![(Lane(0), Pos(4)), (Lane(1), Pos(0))];
        self.carrier.beacon(&self.source, &self.topic, &epochs, &heads).await.expect("a beacon is published");
        assert_eq!(arrival(&mut *arrivals).await, Carried::Beacon { epochs, heads });
    }

    async fn read(&self, from: Vec<(Lane, Option<Hint>)>) -> Box<dyn Arrivals> {
        self.carrier.read(&self.source, &self.topic, from).await.expect("a subscription")
    }

    /// Publishes positions of a lane, each of which must be acknowledged.
    async fn publish(&self, lane: Lane, positions: std::ops::RangeInclusive<i64>) -> Vec<Hint> {
        let records: Vec<_> = positions.map(|pos| self.record(lane, pos)).collect();
        let outcomes = self.carrier.publish(&self.source, &self.topic, lane, &records, Some(1)).await;
        assert_eq!(outcomes.len(), records.len(), "one outcome a record");
        outcomes.into_iter().map(|outcome| outcome.expect("a record is acknowledged")).collect()
    }

    async fn end(&self, lane: Lane) -> i64 {
        match self.carrier.head(&self.source, &self.topic, lane).await.expect("head") {
            Head::At(_, pos) => pos.0,
            Head::Empty | Head::Unknown => 5,
        }
    }

    fn record(&self, lane: Lane, pos: i64) -> Arc<Record> {
        Arc::new(Record {
            source: self.source.clone(),
            topic: Arc::clone(&self.topic),
            lane,
            epoch: EPOCH,
            pos: Pos(pos),
            kind: "Counted".into(),
            schema_v: 2,
            key: format!("key/ä {}", pos % 3).into(),
            headers: r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#.into(),
            payload: Bytes::from(format!(r#"{{"n":{pos},"text":"\u00e4 \n"}}"#)),
            at: Timestamp(1_700_000_000_000_000 + pos),
        })
    }
}

async fn arrival(arrivals: &mut dyn Arrivals) -> Carried {
    let arrived = timeout(PATIENCE, arrivals.next()).await.expect("nothing arrived in time");
    arrived.expect("the subscription is over").expect("the subscription failed")
}

async fn record(arrivals: &mut dyn Arrivals) -> (Arc<Record>, Hint) {
    loop {
        if let Carried::Record(record, hint) = arrival(arrivals).await {
            return (record, hint);
        }
    }
}
