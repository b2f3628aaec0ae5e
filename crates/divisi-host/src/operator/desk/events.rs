//! The log, readable: its newest events, or those after one of them.
//!
//! Between lanes there is no order but the time of the append. The newest events of a log are found by merging the
//! lanes from their ends, a stretch of each at a time; nothing reads the whole of it.

use std::sync::Arc;

use divisi_contract::event::{LANES, lane_of};
use divisi_store::outbox::{self, PageWanted};
use divisi_store::{Lane, Pos, Position, Read, Record};

use super::Desk;
use crate::operator::answers::Event;
use crate::operator::protocol::Refused;

/// The most events of one answer.
const EVENTS_MAX: usize = 1_000;
/// The most bytes of one answer's events; the first is always shown.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Positions of a lane that are read at once when every event is wanted.
const STRETCH: i64 = 16;
/// The same when one key's are: most rows are passed over.
const STRETCH_OF_KEY: i64 = 256;

/// One lane, read backwards from its end.
struct Backwards {
    topic: Arc<str>,
    lane: Lane,
    floor: Pos,
    to: Pos,
    /// What has been read and not yet given, oldest first.
    read: Vec<Record>,
}

impl Desk {
    pub(super) async fn events(
        &self,
        topic: Option<&str>,
        key: Option<&str>,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Vec<Event>, Refused> {
        let limit = limit.min(EVENTS_MAX);
        let records = match after {
            Some(after) => self.after(after, key, limit).await?,
            None => self.newest(topic, key, limit).await?,
        };
        Ok(records.iter().map(Event::of).collect())
    }

    /// A topic that the service owns.
    pub(super) fn topic(&self, topic: &str) -> Result<&'static str, Refused> {
        let topics = self.store.topics();
        topics
            .iter()
            .find(|own| **own == topic)
            .copied()
            .ok_or_else(|| Refused::new(format!("`{}` does not own a topic `{topic}`", self.service())))
    }

    /// The newest events, in the order of their times.
    async fn newest(
        &self,
        topic: Option<&str>,
        key: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, Refused> {
        let topics = match topic {
            Some(topic) => vec![self.topic(topic)?],
            None => self.store.topics().to_vec(),
        };
        let mut lanes = Vec::new();
        for topic in topics {
            lanes.extend(self.ends(topic, key).await?);
        }
        let (mut newest, mut n_bytes) = (Vec::new(), 0);
        while newest.len() < limit {
            for lane in &mut lanes {
                self.fill(lane, key).await?;
            }
            let last =
                lanes.iter_mut().max_by_key(|lane| lane.read.last().map(|record| (record.at, record.pos)));
            let Some(record) = last.and_then(|lane| lane.read.pop()) else { break };
            n_bytes += record.size();
            if n_bytes > BYTES_MAX && !newest.is_empty() {
                break;
            }
            newest.push(record);
        }
        newest.reverse();
        Ok(newest)
    }

    /// The lanes of a topic that may hold what is wanted, each at its end.
    async fn ends(&self, topic: &'static str, key: Option<&str>) -> Result<Vec<Backwards>, Refused> {
        let lanes = match key {
            Some(key) => vec![(Lane(lane_of(key, LANES)), Pos(0))],
            None => (0..LANES).map(|lane| (Lane(lane), Pos(0))).collect(),
        };
        let topic: Arc<str> = topic.into();
        let wanted = PageWanted { topic: Arc::clone(&topic), lanes, max_records: 0, max_bytes: 0 };
        let page = self.store.backend().page(wanted).await?;
        let ends = page.heads.iter().zip(&page.floors);
        Ok(ends
            .map(|(&(lane, to), &(_, floor))| Backwards {
                topic: Arc::clone(&topic),
                lane,
                floor,
                to,
                read: Vec::new(),
            })
            .collect())
    }

    /// Reads on in a lane of which nothing is left, until something is found or it is at its floor.
    async fn fill(&self, lane: &mut Backwards, key: Option<&str>) -> Result<(), Refused> {
        let stretch = if key.is_some() { STRETCH_OF_KEY } else { STRETCH };
        while lane.read.is_empty() && lane.to > lane.floor {
            let after = Pos(lane.to.0.saturating_sub(stretch).max(lane.floor.0));
            lane.read = self.stretch(&lane.topic, lane.lane, (after, lane.to), key).await?;
            lane.to = after;
        }
        Ok(())
    }

    /// What comes after one event, in its lane: order is promised there and nowhere else.
    async fn after(&self, after: &Position, key: Option<&str>, limit: usize) -> Result<Vec<Record>, Refused> {
        let topic: Arc<str> = self.topic(&after.topic)?.into();
        let wanted = PageWanted {
            topic: Arc::clone(&topic),
            lanes: vec![(after.lane, Pos(0))],
            max_records: 0,
            max_bytes: 0,
        };
        let page = self.store.backend().page(wanted).await?;
        let head = page.heads.first().map_or(Pos(0), |(_, head)| *head);
        let mut at = page.floors.first().map_or(after.pos, |(_, floor)| after.pos.max(*floor));
        let stretch = if key.is_some() { STRETCH_OF_KEY } else { STRETCH };
        let (mut found, mut n_bytes) = (Vec::new(), 0);
        while at < head {
            let to = Pos(at.0.saturating_add(stretch).min(head.0));
            for record in self.stretch(&topic, after.lane, (at, to), key).await? {
                n_bytes += record.size();
                if found.len() == limit || (n_bytes > BYTES_MAX && !found.is_empty()) {
                    return Ok(found);
                }
                found.push(record);
            }
            at = to;
        }
        Ok(found)
    }

    async fn stretch(
        &self,
        topic: &Arc<str>,
        lane: Lane,
        between: (Pos, Pos),
        key: Option<&str>,
    ) -> Result<Vec<Record>, Refused> {
        let source = self.service();
        let read =
            async |read: &mut Read| outbox::read_stretch(read, source, topic, lane, between, key).await;
        Ok(self.store.read(read).await?)
    }
}
