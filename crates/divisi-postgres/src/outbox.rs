//! The log's end: a transaction's events go to `divisi_append`, which numbers them behind the locks of their lanes.

use std::sync::Arc;

use deadpool_postgres::Client;
use divisi_contract::ServiceName;
use divisi_store::{Draft, Epoch, Pos, Record, StoreError, StoreErrorKind, Timestamp};
use tokio_postgres::{Error, Row, Statement};

/// How many bytes of events one transaction announces at the most.
pub(crate) const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The last statement of a transaction that announces something.
pub(crate) const APPEND: &str =
    "SELECT pos, epoch, at FROM divisi_append($1, $2, $3, $4, $5, $6, $7) ORDER BY ord";

/// The events of one transaction, as columns.
#[derive(Debug, Default)]
pub(crate) struct Columns<'a> {
    topics: Vec<&'a str>,
    lanes: Vec<i32>,
    kinds: Vec<&'a str>,
    schemas: Vec<i32>,
    keys: Vec<&'a str>,
    headers: Vec<&'a str>,
    payloads: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    /// Lays events out; too many bytes are refused before anything is sent.
    pub(crate) fn new(drafts: &'a [Draft]) -> Result<Columns<'a>, StoreError> {
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
            columns.topics.push(draft.topic);
            columns.lanes.push(draft.lane.0.into());
            columns.kinds.push(draft.kind);
            columns.schemas.push(i32::try_from(draft.schema_v).unwrap_or(i32::MAX));
            columns.keys.push(&draft.key);
            columns.headers.push(&draft.headers);
            columns.payloads.push(&draft.payload);
        }
        Ok(columns)
    }

    /// Numbers and appends them.
    pub(crate) async fn append(&self, client: &Client, append: &Statement) -> Result<Vec<Row>, Error> {
        let Columns { topics, lanes, kinds, schemas, keys, headers, payloads } = self;
        client.query(append, &[topics, lanes, kinds, schemas, keys, headers, payloads]).await
    }
}

/// The records that `drafts` have become, in their order.
pub(crate) fn records(
    source: &ServiceName,
    drafts: Vec<Draft>,
    numbers: &[Row],
) -> Result<Vec<Arc<Record>>, Error> {
    let mut topics: Vec<Arc<str>> = Vec::new();
    let mut records = Vec::with_capacity(drafts.len());
    for (draft, row) in drafts.into_iter().zip(numbers) {
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
            epoch: Epoch(row.try_get(1)?),
            pos: Pos(row.try_get(0)?),
            kind: draft.kind.into(),
            schema_v: draft.schema_v,
            key: draft.key.into(),
            headers: draft.headers,
            payload: draft.payload,
            at: Timestamp(row.try_get(2)?),
        }));
    }
    Ok(records)
}
