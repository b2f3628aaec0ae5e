//! The log's end: a transaction's events go to `divisi_append`, which numbers them behind the locks of their lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use deadpool_postgres::Client;
use divisi_contract::ServiceName;
use divisi_contract::event::LANES;
use divisi_store::{Draft, Epoch, Pos, Record, StoreError, StoreErrorKind, Timestamp};
use tokio_postgres::{Error, Row, Statement};

/// How many bytes of events one transaction announces at the most.
pub(crate) const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The last statement of a transaction that announces one event.
const APPEND_ONE: &str = "SELECT divisi_append_one($1, $2, $3, $4, $5, $6, $7, $8)";
/// The last statement of one that announces several.
const APPEND: &str = "SELECT pos, epoch, at FROM divisi_append($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// The last statement of one that is too strict to draw numbers: they get them behind COMMIT.
const STAGE: &str = "SELECT divisi_stage($1, $2, $3, $4, $5, $6, $7, $8)";

/// Where the lanes of a store's topics end, as far as this process has seen: the database looks behind it, and need not trust it.
pub(crate) struct Ends {
    topics: Vec<&'static str>,
    /// Topic by topic, [`LANES`] each.
    ends: Box<[AtomicI64]>,
}

/// The events of one transaction, as columns.
#[derive(Debug, Default)]
pub(crate) struct Columns<'a> {
    topics: Vec<&'a str>,
    lanes: Vec<i32>,
    ends: Vec<i64>,
    /// Which topic and lane each event is for, from one on.
    of: Vec<i32>,
    kinds: Vec<&'a str>,
    schemas: Vec<i32>,
    keys: Vec<&'a str>,
    headers: Vec<&'a str>,
    payloads: Vec<&'a [u8]>,
}

/// What the database has given: a position an event, the same epoch and time for all.
pub(crate) struct Numbers {
    positions: Vec<i64>,
    epoch: i64,
    at: i64,
}

impl Ends {
    pub(crate) fn new(topics: &[&'static str]) -> Ends {
        let ends = (0..topics.len() * usize::from(LANES)).map(|_| AtomicI64::new(0)).collect();
        Ends { topics: topics.to_vec(), ends }
    }

    /// Notes what was appended.
    pub(crate) fn reached(&self, records: &[Arc<Record>]) {
        for record in records {
            if let Some(end) = self.of(&record.topic, record.lane.0) {
                end.fetch_max(record.pos.0, Ordering::Relaxed);
            }
        }
    }

    /// Forgets all of it: the database may be another one.
    pub(crate) fn forget(&self) {
        self.ends.iter().for_each(|end| end.store(0, Ordering::Relaxed));
    }

    fn of(&self, topic: &str, lane: u16) -> Option<&AtomicI64> {
        let place = self.topics.iter().position(|known| *known == topic)?;
        self.ends.get(place * usize::from(LANES) + usize::from(lane))
    }
}

impl<'a> Columns<'a> {
    /// Lays events out; too many bytes are refused before anything is sent.
    pub(crate) fn new(drafts: &'a [Draft], ends: &Ends) -> Result<Columns<'a>, StoreError> {
        let size = |draft: &Draft| draft.key.len() + draft.headers.len() + draft.payload.len();
        let bytes: usize = drafts.iter().map(size).sum();
        if bytes > EVENT_BYTES_MAX {
            return Err(StoreError::new(
                StoreErrorKind::Event,
                format!(
                    "a transaction announces {bytes} bytes of events, {EVENT_BYTES_MAX} are the limit; divide it"
                ),
            ));
        }
        let mut columns = Columns::default();
        for draft in drafts {
            let of = columns.place(draft, ends);
            columns.of.push(i32::try_from(of + 1).unwrap_or(i32::MAX));
            columns.kinds.push(draft.kind);
            columns.schemas.push(i32::try_from(draft.schema_v).unwrap_or(i32::MAX));
            columns.keys.push(&draft.key);
            columns.headers.push(&draft.headers);
            columns.payloads.push(&draft.payload);
        }
        Ok(columns)
    }

    /// The statement that appends them, if there are any.
    pub(crate) fn statement(&self) -> Option<&'static str> {
        match self.kinds.len() {
            0 => None,
            1 => Some(APPEND_ONE),
            _ => Some(APPEND),
        }
    }

    /// The statement that puts them down without numbers, if there are any.
    pub(crate) fn stage_statement(&self) -> Option<&'static str> {
        (!self.kinds.is_empty()).then_some(STAGE)
    }

    /// Puts them down without numbers, by [`Columns::stage_statement`].
    pub(crate) async fn stage(&self, client: &Client, stage: &Statement) -> Result<Numbers, Error> {
        let Columns { topics, lanes, of, kinds, schemas, keys, headers, payloads, .. } = self;
        client.execute(stage, &[topics, lanes, of, kinds, schemas, keys, headers, payloads]).await?;
        Ok(Numbers::none())
    }

    /// Numbers and appends them, by [`Columns::statement`].
    pub(crate) async fn append(&self, client: &Client, append: &Statement) -> Result<Numbers, Error> {
        let Columns { topics, lanes, ends, of, kinds, schemas, keys, headers, payloads } = self;
        if let ([topic], [lane], [end], [kind], [schema], [key], [header], [payload]) =
            (&**topics, &**lanes, &**ends, &**kinds, &**schemas, &**keys, &**headers, &**payloads)
        {
            let row =
                client.query_one(append, &[topic, lane, end, kind, schema, key, header, payload]).await?;
            return Numbers::of_one(&row);
        }
        let row = client
            .query_one(append, &[topics, lanes, ends, of, kinds, schemas, keys, headers, payloads])
            .await?;
        Ok(Numbers { positions: row.try_get(0)?, epoch: row.try_get(1)?, at: row.try_get(2)? })
    }

    /// Which of the topics and lanes is a draft's. There are few, and neighbours are often of one.
    fn place(&mut self, draft: &'a Draft, ends: &Ends) -> usize {
        let lane = i32::from(draft.lane.0);
        let known = self.topics.iter().zip(&self.lanes);
        if let Some(place) = known.rev().position(|(topic, of)| *of == lane && *topic == draft.topic) {
            return self.lanes.len() - 1 - place;
        }
        self.topics.push(draft.topic);
        self.lanes.push(lane);
        self.ends.push(ends.of(draft.topic, draft.lane.0).map_or(0, |end| end.load(Ordering::Relaxed)));
        self.lanes.len() - 1
    }
}

impl Numbers {
    /// Those of a transaction without events.
    pub(crate) fn none() -> Numbers {
        Numbers { positions: Vec::new(), epoch: 0, at: 0 }
    }

    fn of_one(row: &Row) -> Result<Numbers, Error> {
        let numbers: Vec<i64> = row.try_get(0)?;
        let number = |n: usize| numbers.get(n).copied().unwrap_or_default();
        Ok(Numbers { positions: vec![number(0)], epoch: number(1), at: number(2) })
    }
}

/// The records that `drafts` have become, in their order.
pub(crate) fn records(source: &ServiceName, drafts: Vec<Draft>, numbers: &Numbers) -> Vec<Arc<Record>> {
    let mut topics: Vec<Arc<str>> = Vec::new();
    let mut records = Vec::with_capacity(drafts.len());
    for (draft, pos) in drafts.into_iter().zip(&numbers.positions) {
        let topic = match topics.iter().find(|known| &***known == draft.topic) {
            Some(known) => Arc::clone(known),
            None => {
                topics.push(draft.topic.into());
                draft.topic.into()
            }
        };
        records.push(Arc::new(Record {
            source: source.clone(),
            topic,
            lane: draft.lane,
            epoch: Epoch(numbers.epoch),
            pos: Pos(*pos),
            kind: draft.kind.into(),
            schema_v: draft.schema_v,
            key: draft.key.into(),
            headers: draft.headers,
            payload: draft.payload,
            at: Timestamp(numbers.at),
        }));
    }
    records
}
