//! Where a subscription begins in each partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divisi_events::carrier::{CarrierError, Hint};
use divisi_store::Lane;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::stalls::Stalls;
use super::{Client, Following, KafkaArrivals, wanted};
use crate::client::{self, Words};
use crate::elsewhere::Elsewhere;
use crate::error;
use crate::incoming::Reader;
use crate::options::Options;
use crate::place::{Place, partition_of};
use crate::topic::Topic;

/// How far before the newest hint of a partition reading begins at the most: a quiet lane's hint may be months old,
/// and what comes after it is most probably nothing of that lane. If it is, the reader finds the gap.
const REWIND_MAX: i64 = 2_000;

/// Begins a subscription, at the hints or at the end. It blocks, and must be called within a runtime.
pub(crate) fn begin(
    options: &Arc<Options>,
    topic: Topic,
    reader: Reader,
    from: &[(Lane, Option<Hint>)],
) -> Result<KafkaArrivals, CarrierError> {
    let failed =
        |failed: KafkaError| error::carrier(options, &format!("cannot read `{}`", topic.events), &failed);
    let config = client::reading(options);
    let client: Client = Client::from_config_and_context(&config, Words::default()).map_err(failed)?;
    let client = Elsewhere::new(Arc::new(client));
    let until = Instant::now() + options.answer_within;
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let (mut partitions, mut assigned) = (Vec::new(), TopicPartitionList::new());
    for (partition, hints) in hints(from, &topic.events, options.partitions) {
        let (low, high) = client.fetch_watermarks(&topic.events, partition, left()).map_err(failed)?;
        let following = start(partition, &hints, low, high);
        let at = Offset::Offset(following.next);
        assigned.add_partition_offset(&topic.events, partition, at).map_err(failed)?;
        partitions.push(following);
    }
    let (_, beacons) = client.fetch_watermarks(&topic.beacons, 0, left()).map_err(failed)?;
    assigned.add_partition_offset(&topic.beacons, 0, Offset::Offset(beacons)).map_err(failed)?;
    client.assign(&assigned).map_err(failed)?;
    let wanted = wanted(from.iter().map(|(lane, _)| *lane));
    let options = Arc::clone(options);
    Ok(KafkaArrivals { client, options, topic, reader, wanted, partitions, stalls: Stalls::new() })
}

/// By partition, the places that hints of its lanes name.
fn hints(from: &[(Lane, Option<Hint>)], topic: &str, partitions: u16) -> BTreeMap<i32, Vec<Place>> {
    let mut by_partition: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    for (lane, hint) in from {
        let partition = partition_of(*lane, partitions);
        let place = hint.as_ref().and_then(|hint| Place::parse(hint, topic, *lane));
        by_partition.entry(partition).or_default().extend(place.filter(|place| place.partition == partition));
    }
    by_partition
}

/// Where reading begins in a partition that holds the offsets `low..high`.
fn start(partition: i32, hints: &[Place], low: i64, high: i64) -> Following {
    let held: Vec<Place> =
        hints.iter().copied().filter(|place| (low..high).contains(&place.offset)).collect();
    let newest = held.iter().map(|place| place.offset).max().unwrap_or(high);
    let near = held.into_iter().filter(|place| place.offset >= newest - REWIND_MAX);
    let hinted = near.min_by_key(|place| place.offset);
    Following { partition, next: hinted.map_or(high, |place| place.offset), end: high, hinted }
}

#[cfg(test)]
mod tests {
    use divisi_store::{Epoch, Pos};

    use super::*;

    #[track_caller]
    fn check(offsets: &[i64], low: i64, high: i64, next: i64) {
        let place = |offset: &i64| Place {
            partition: 3,
            offset: *offset,
            lane: Lane(3),
            epoch: Epoch(1),
            pos: Pos(1),
        };
        let hints: Vec<_> = offsets.iter().map(place).collect();
        let following = start(3, &hints, low, high);
        assert_eq!((following.next, following.end), (next, high));
        assert_eq!(following.hinted.map(|place| place.offset), (next < high).then_some(next));
    }

    #[test]
    fn reading_begins_at_the_earliest_hint_or_at_the_end() {
        check(&[], 0, 100, 100);
        check(&[70, 40, 90], 0, 100, 40);
        check(&[99], 0, 100, 99);
    }

    #[test]
    fn a_hint_of_what_is_not_held_is_void() {
        check(&[100], 0, 100, 100);
        check(&[10, 60], 50, 100, 60);
        check(&[10], 50, 100, 100);
    }

    #[test]
    fn a_quiet_lane_does_not_make_others_read_everything_again() {
        check(&[5, 999_000, 999_500], 0, 1_000_000, 999_000);
        check(&[5, 900], 0, 1_000_000, 5);
    }

    #[test]
    fn hints_belong_to_the_partition_of_their_lane() {
        let hint = |lane, partition, offset| {
            let place = Place { partition, offset, lane: Lane(lane), epoch: Epoch(1), pos: Pos(1) };
            (Lane(lane), Some(place.hint("sales")))
        };
        let from = [hint(1, 1, 10), hint(9, 1, 20), hint(2, 5, 30), (Lane(3), None)];
        let hints = hints(&from, "sales", 8);
        let offsets: Vec<_> = hints
            .iter()
            .map(|(partition, places)| {
                (*partition, places.iter().map(|place| place.offset).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(offsets, [(1, vec![10, 20]), (2, vec![]), (3, vec![])]);
    }
}
