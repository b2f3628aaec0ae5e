//! The log's end: numbers for a transaction's events, given where the writer is held.
//!
//! The ends of lanes are kept in memory, since there is one writer; that makes a transaction four times as fast as
//! asking for `max(pos)`. They are put back when a member is undone, and read again after a commit that failed.

use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_contract::event::LANES;
use divisi_store::{
    Draft, Epoch, Lane, Pos, Position, Record, StoreError, StoreErrorKind, Timestamp, ToValue, ValueRef,
};
use rusqlite::Connection;

use crate::link::Link;

const APPEND: &str = "INSERT INTO divisi_outbox (topic, lane, pos, epoch, type, schema_v, key, headers, payload, at) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// Where each lane of each topic ends, and the epoch of today.
pub(crate) struct Ends {
    epoch: Epoch,
    topics: Vec<TopicEnds>,
    /// The names of events, shared by the records that carry them.
    kinds: Vec<(&'static str, Arc<str>)>,
}

struct TopicEnds {
    topic: Arc<str>,
    ends: Vec<i64>,
}

impl Ends {
    /// Reads them from the database.
    pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Ends> {
        let epoch: i64 = connection.query_row("SELECT epoch FROM divisi_meta", [], |row| row.get(0))?;
        let mut topics: Vec<TopicEnds> = connection
            .prepare("SELECT topic FROM divisi_topic ORDER BY topic")?
            .query_map([], |row| row.get::<_, String>(0))?
            .map(|topic| Ok(TopicEnds { topic: topic?.into(), ends: vec![0; usize::from(LANES)] }))
            .collect::<rusqlite::Result<_>>()?;
        for TopicEnds { topic, ends } in &mut topics {
            let mut lanes = connection.prepare_cached(
                "SELECT lane, coalesce((SELECT max(pos) FROM divisi_outbox o WHERE o.topic = l.topic AND o.lane = l.lane), floor_pos) \
                 FROM divisi_lane l WHERE topic = ?1",
            )?;
            for row in lanes.query_map([&**topic], |row| Ok((row.get::<_, u16>(0)?, row.get(1)?)))? {
                let (lane, end): (u16, i64) = row?;
                if let Some(slot) = ends.get_mut(usize::from(lane)) {
                    *slot = end;
                }
            }
        }
        Ok(Ends { epoch: Epoch(epoch), topics, kinds: Vec::new() })
    }

    /// Numbers `drafts` and appends them; all or none. What was numbered is pushed to `records`.
    pub(crate) fn append(
        &mut self,
        link: &Link,
        source: &ServiceName,
        drafts: Vec<Draft>,
        at: Timestamp,
        records: &mut Vec<Arc<Record>>,
    ) -> Result<Vec<Position>, StoreError> {
        let first = records.len();
        let mut positions = Vec::with_capacity(drafts.len());
        for draft in drafts {
            match self.append_one(link, source, draft, at) {
                Ok(record) => {
                    positions.push(record.position());
                    records.push(Arc::new(record));
                }
                Err(error) => {
                    self.undo(records.drain(first..));
                    return Err(error);
                }
            }
        }
        Ok(positions)
    }

    /// Numbers from now on in `epoch`; the one before.
    pub(crate) fn enter(&mut self, epoch: Epoch) -> Epoch {
        std::mem::replace(&mut self.epoch, epoch)
    }

    /// Puts back the ends as they were before these records.
    pub(crate) fn undo(&mut self, records: impl DoubleEndedIterator<Item = Arc<Record>>) {
        for record in records.rev() {
            if let Some(end) = self.end_mut(&record.topic, record.lane) {
                *end = record.pos.0 - 1;
            }
        }
    }

    fn append_one(
        &mut self,
        link: &Link,
        source: &ServiceName,
        draft: Draft,
        at: Timestamp,
    ) -> Result<Record, StoreError> {
        let kind = self.kind(draft.kind);
        let epoch = self.epoch;
        let topic = self
            .topics
            .iter()
            .find(|known| &*known.topic == draft.topic)
            .map(|known| Arc::clone(&known.topic));
        let (Some(topic), Some(end)) = (topic, self.end_mut(draft.topic, draft.lane)) else {
            return Err(StoreError::new(
                StoreErrorKind::Event,
                format!("the topic `{}` was not declared when the store was opened", draft.topic),
            ));
        };
        let record = Record {
            source: source.clone(),
            topic,
            lane: draft.lane,
            epoch,
            pos: Pos(*end + 1),
            kind,
            schema_v: draft.schema_v,
            key: draft.key.into(),
            headers: draft.headers,
            payload: draft.payload,
            at,
        };
        let params: [ValueRef<'_>; 10] = [
            record.topic.to_value(),
            record.lane.to_value(),
            record.pos.to_value(),
            record.epoch.to_value(),
            record.kind.to_value(),
            record.schema_v.to_value(),
            record.key.to_value(),
            record.headers.to_value(),
            record.payload.to_value(),
            record.at.to_value(),
        ];
        link.execute(APPEND, &params)?;
        *end += 1;
        Ok(record)
    }

    fn end_mut(&mut self, topic: &str, lane: Lane) -> Option<&mut i64> {
        self.topics.iter_mut().find(|known| &*known.topic == topic)?.ends.get_mut(usize::from(lane.0))
    }

    fn kind(&mut self, kind: &'static str) -> Arc<str> {
        if let Some((_, known)) = self.kinds.iter().find(|(known, _)| *known == kind) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = kind.into();
        self.kinds.push((kind, Arc::clone(&shared)));
        shared
    }
}
