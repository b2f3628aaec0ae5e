//! Where a record lies on Kafka, as a hint.

use divisi_events::carrier::Hint;
use divisi_store::{Epoch, Lane, Pos};

/// The name that hints begin with.
pub(crate) const NAME: &str = "kafka";

/// Where a record of a lane lies, and which one it is: `kafka:<topic>:<partition>/<offset>:<epoch>/<position>`.
///
/// Kafka's id of a topic is not within reach of its clients' safe interface, and it would not show a log that went
/// back in time. What lies at the offset shows both: if it is not the record that the hint names, the hint is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) lane: Lane,
    pub(crate) epoch: Epoch,
    pub(crate) pos: Pos,
}

impl Place {
    pub(crate) fn hint(&self, topic: &str) -> Hint {
        let Place { partition, offset, epoch, pos, .. } = self;
        Hint(format!("{NAME}:{topic}:{partition}/{offset}:{epoch}/{pos}").into())
    }

    /// What a hint of a lane of this topic says; `None` for one that is not ours.
    pub(crate) fn parse(hint: &Hint, topic: &str, lane: Lane) -> Option<Place> {
        let rest = hint.0.strip_prefix(NAME)?.strip_prefix(':')?.strip_prefix(topic)?.strip_prefix(':')?;
        let (place, record) = rest.split_once(':')?;
        let (partition, offset) = place.split_once('/')?;
        let (epoch, pos) = record.split_once('/')?;
        Some(Place {
            partition: partition.parse().ok()?,
            offset: offset.parse().ok().filter(|offset| *offset >= 0)?,
            lane,
            epoch: Epoch(epoch.parse().ok()?),
            pos: Pos(pos.parse().ok()?),
        })
    }
}

/// The partition of a lane.
pub(crate) fn partition_of(lane: Lane, partitions: u16) -> i32 {
    i32::from(lane.0 % partitions.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { partition: 3, offset: 17, lane: Lane(11), epoch: Epoch(1_700), pos: Pos(4) };

    #[test]
    fn a_hint_brings_its_place_back() {
        let hint = PLACE.hint("shop:sales.v1");
        assert_eq!(&*hint.0, "kafka:shop:sales.v1:3/17:1700/4");
        assert_eq!(Place::parse(&hint, "shop:sales.v1", Lane(11)), Some(PLACE));
    }

    #[test]
    fn a_hint_of_another_topic_or_of_somebody_else_is_void() {
        for (hint, topic) in [
            ("kafka:sales:3/17:1700/4", "sale"),
            ("kafka:sales:3/17:1700/4", "sales.v2"),
            ("nats:sales:3/17:1700/4", "sales"),
            ("kafka:sales:3/17", "sales"),
            ("kafka:sales:3/-17:1700/4", "sales"),
            ("kafka:sales:3/17:1700/99999999999999999999", "sales"),
            ("kafka:a stream that never was:1", "sales"),
            ("", "sales"),
        ] {
            assert_eq!(Place::parse(&Hint(hint.into()), topic, Lane(0)), None, "{hint}");
        }
    }

    #[test]
    fn lanes_are_spread_over_the_partitions() {
        assert_eq!([0, 7, 8, 63].map(|lane| partition_of(Lane(lane), 8)), [0, 7, 0, 7]);
        assert_eq!(partition_of(Lane(63), 1), 0);
    }
}
