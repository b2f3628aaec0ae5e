//! What Kafka holds at the end of lanes: read back from the end of the partitions.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use divisi_events::carrier::{CarrierError, Head};
use divisi_events::cloud_event::Content;
use divisi_store::{Epoch, Lane, Pos};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{self, POLL, Words};
use crate::error;
use crate::incoming::Reader;
use crate::options::Options;
use crate::place::partition_of;

/// Records of a partition that are looked at, from its end; a lane that has none among them is unknown.
const RECORDS_MAX: i64 = 2_048;

/// The ends of all lanes of a topic, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    lanes: BTreeMap<Lane, (Epoch, Pos)>,
    /// By partition: whether everything that was ever in it was looked at.
    whole: HashMap<i32, bool>,
    partitions: u16,
}

impl Heads {
    pub(crate) fn of(&self, lane: Lane) -> Head {
        match self.lanes.get(&lane) {
            Some(&(epoch, pos)) if pos > Pos(0) => Head::At(epoch, pos),
            _ if self.is_whole(lane) => Head::Empty,
            // Something was there once: retention took it, or it lies too far back.
            _ => Head::Unknown,
        }
    }

    /// A record came, in the order of its partition. What lies behind a hole does not count: a relay that goes on at the
    /// hole fills it, and what it then publishes twice does no harm.
    fn saw(&mut self, lane: Lane, epoch: Epoch, pos: Pos) {
        let before = if self.is_whole(lane) { Pos(0) } else { pos };
        let head = self.lanes.entry(lane).or_insert((epoch, before));
        let is_next = epoch == head.0 && pos == head.1.next();
        // Positions of a newer epoch go on anywhere below the end of the one before.
        let is_newer = epoch > head.0 && pos <= head.1.next();
        if is_next || is_newer {
            *head = (epoch, pos);
        }
    }

    fn is_whole(&self, lane: Lane) -> bool {
        self.whole.get(&partition_of(lane, self.partitions)) == Some(&true)
    }
}

/// Looks at the ends of all partitions. It blocks.
pub(crate) fn look(options: &Options, topic: &str, reader: &Reader) -> Result<Heads, CarrierError> {
    let failed =
        |failed: KafkaError| error::carrier(options, &format!("cannot read the end of `{topic}`"), &failed);
    let mut config = client::reading(options);
    config.set("enable.partition.eof", "true");
    let consumer: BaseConsumer<Words> =
        BaseConsumer::from_config_and_context(&config, Words::default()).map_err(failed)?;
    let until = Instant::now() + options.answer_within;
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut heads = Heads { partitions: options.partitions, ..Heads::default() };
    // The partitions that are being read, and where they ended when this began.
    let (mut open, mut from) = (HashMap::new(), TopicPartitionList::new());
    for partition in 0..i32::from(options.partitions) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, left()).map_err(failed)?;
        let start = low.max(high - RECORDS_MAX);
        heads.whole.insert(partition, start == 0);
        if start < high {
            open.insert(partition, high);
            from.add_partition_offset(topic, partition, Offset::Offset(start)).map_err(failed)?;
        }
    }
    if open.is_empty() {
        return Ok(heads);
    }
    consumer.assign(&from).map_err(failed)?;
    while !open.is_empty() {
        match consumer.poll(left().min(POLL)) {
            Some(Ok(message)) => {
                let read = reader.read(&message);
                if let Some(Content::Record(record)) = read.content {
                    heads.saw(record.lane, record.epoch, record.pos);
                }
                if open.get(&read.partition).is_some_and(|high| read.offset + 1 >= *high) {
                    open.remove(&read.partition);
                }
            }
            // Also where the last offsets belong to no record.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // It tries again by itself.
            Some(Err(_)) | None if Instant::now() < until => {}
            Some(Err(error)) => return Err(failed(error)),
            None => {
                let words =
                    format!("the ends of {} partitions of `{topic}` did not come in time", open.len());
                return Err(CarrierError::Unavailable(words));
            }
        }
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(records: &[(i64, i64)], epoch: i64, pos: i64) {
        let mut heads = Heads { partitions: 8, ..Heads::default() };
        for (epoch, pos) in records {
            heads.saw(Lane(3), Epoch(*epoch), Pos(*pos));
        }
        assert_eq!(heads.of(Lane(3)), Head::At(Epoch(epoch), Pos(pos)));
    }

    #[test]
    fn a_head_is_the_last_position_of_the_newest_epoch_without_a_hole_before_it() {
        check(&[(1, 7), (1, 8), (1, 9)], 1, 9);
        check(&[(1, 7), (1, 8), (1, 5), (1, 6)], 1, 8);
        check(&[(1, 7), (1, 9), (1, 10)], 1, 7);
        check(&[(1, 7), (1, 9), (1, 10), (1, 8), (1, 9), (1, 10)], 1, 10);
        check(&[(1, 7), (2, 3), (2, 4), (1, 8), (2, 2)], 2, 4);
        check(&[(1, 7), (2, 8), (2, 9)], 2, 9);
        check(&[(1, 7), (2, 9)], 1, 7);
    }

    #[test]
    fn where_everything_is_there_a_lane_begins_at_its_first_position() {
        let mut heads = Heads { whole: [(0, true)].into(), partitions: 8, ..Heads::default() };
        heads.saw(Lane(0), Epoch(1), Pos(1));
        heads.saw(Lane(8), Epoch(1), Pos(2));
        assert_eq!(heads.of(Lane(0)), Head::At(Epoch(1), Pos(1)));
        assert_eq!(heads.of(Lane(8)), Head::Empty);
    }

    #[test]
    fn a_lane_without_a_record_is_empty_only_where_nothing_was_ever_taken_away() {
        let whole = [(0, true), (1, false)].into();
        let heads = Heads { whole, partitions: 8, ..Heads::default() };
        assert_eq!(heads.of(Lane(8)), Head::Empty);
        assert_eq!(heads.of(Lane(9)), Head::Unknown);
        assert_eq!(heads.of(Lane(2)), Head::Unknown);
    }
}
