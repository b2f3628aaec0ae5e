//! Reading the log: pages, heads, floors and the list of epochs, all of one snapshot.
//!
//! Writing it is the back end's, at the end of a transaction; nobody else writes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use divisi_contract::ServiceName;

use crate::epoch::{Epoch, Epochs, Fork};
use crate::error::StoreError;
use crate::params;
use crate::record::{Lane, Pos, Record, Timestamp};
use crate::transaction::Read;

/// What is wanted of a topic's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageWanted {
    /// The topic.
    pub topic: Arc<str>,
    /// The lanes, in the order in which they are to be served, each after a position.
    pub lanes: Vec<(Lane, Pos)>,
    /// At most so many records.
    pub max_records: usize,
    /// At most so many bytes, but always one record.
    pub max_bytes: usize,
}

/// A piece of a topic's log.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Per lane contiguous from the wanted position, lane after lane.
    pub records: Vec<Arc<Record>>,
    /// The end of each wanted lane.
    pub heads: Vec<(Lane, Pos)>,
    /// The highest position of each wanted lane that retention has removed.
    pub floors: Vec<(Lane, Pos)>,
    /// The list of epochs, for the wanted lanes.
    pub epochs: Epochs,
}

/// How many records of one lane are served in turn.
pub const RECORDS_IN_TURN: usize = 8;

const HEAD: &str = "SELECT (SELECT max(pos) FROM divisi_outbox WHERE topic = $1 AND lane = $2), floor_pos \
                    FROM divisi_lane WHERE topic = $1 AND lane = $2";
const PAGE: &str = "SELECT pos, epoch, type, schema_v, key, headers, payload, at FROM divisi_outbox \
                    WHERE topic = $1 AND lane = $2 AND pos > $3 ORDER BY pos LIMIT $4";

const STRETCH: &str = "SELECT pos, epoch, type, schema_v, key, headers, payload, at FROM divisi_outbox \
                       WHERE topic = $1 AND lane = $2 AND pos > $3 AND pos <= $4 ORDER BY pos";
const STRETCH_OF_KEY: &str = "SELECT pos, epoch, type, schema_v, key, headers, payload, at FROM divisi_outbox \
                              WHERE topic = $1 AND lane = $2 AND pos > $3 AND pos <= $4 AND key = $5 ORDER BY pos";
const APPENDED_AT: &str = "SELECT at FROM divisi_outbox WHERE topic = $1 AND lane = $2 AND pos = $3";
const BEGAN: &str = "SELECT epoch, began_at FROM divisi_epoch ORDER BY epoch";

/// Reads a page. Lanes are served in order, [`RECORDS_IN_TURN`] each, round and round, until the page is full.
pub async fn read_page(
    read: &mut Read,
    source: &ServiceName,
    wanted: &PageWanted,
) -> Result<Page, StoreError> {
    let mut page = Page { epochs: read_epochs(read, &wanted.topic, &wanted.lanes).await?, ..Page::default() };
    let mut open = Vec::with_capacity(wanted.lanes.len());
    for &(lane, after) in &wanted.lanes {
        let row: Option<(Option<Pos>, Pos)> = read.query_opt(HEAD, params![wanted.topic, lane]).await?;
        let (last, floor) = row.unwrap_or_default();
        let head = last.unwrap_or(floor);
        page.heads.push((lane, head));
        page.floors.push((lane, floor));
        if after < head && after >= floor {
            open.push((lane, after, head));
        }
    }
    let mut bytes = 0;
    while !open.is_empty() && page.records.len() < wanted.max_records {
        let mut still_open = Vec::with_capacity(open.len());
        for (lane, after, head) in open {
            let room = wanted.max_records.saturating_sub(page.records.len()).min(RECORDS_IN_TURN);
            if room == 0 || bytes >= wanted.max_bytes {
                return Ok(page);
            }
            let limit = i64::try_from(room).unwrap_or(i64::MAX);
            let rows: Vec<Logged> = read.query(PAGE, params![wanted.topic, lane, after, limit]).await?;
            let mut reached = after;
            for row in rows {
                let record = record(source, &wanted.topic, lane, row);
                if bytes > 0 && bytes + record.size() > wanted.max_bytes {
                    return Ok(page);
                }
                bytes += record.size();
                reached = record.pos;
                page.records.push(Arc::new(record));
            }
            if reached > after && reached < head {
                still_open.push((lane, reached, head));
            }
        }
        open = still_open;
    }
    Ok(page)
}

/// The list of epochs, for some lanes of a topic.
pub async fn read_epochs(read: &mut Read, topic: &str, lanes: &[(Lane, Pos)]) -> Result<Epochs, StoreError> {
    let known: Vec<(Epoch,)> = read.query("SELECT epoch FROM divisi_epoch ORDER BY epoch", params![]).await?;
    let rows: Vec<(Lane, Epoch, Pos)> = read
        .query(
            "SELECT lane, epoch, fork FROM divisi_fork WHERE topic = $1 ORDER BY lane, epoch",
            params![topic],
        )
        .await?;
    let wanted: BTreeSet<Lane> = lanes.iter().map(|(lane, _)| *lane).collect();
    let forks = rows
        .into_iter()
        .filter(|(lane, _, _)| wanted.contains(lane))
        .map(|(lane, epoch, fork)| Fork { lane, epoch, fork })
        .collect();
    Ok(Epochs { known: known.into_iter().map(|(epoch,)| epoch).collect(), forks })
}

/// The records of one lane after a position up to another, for somebody who looks: of one key, or of all.
///
/// It reads as many rows as there are positions in between; the caller keeps that few.
pub async fn read_stretch(
    read: &mut Read,
    source: &ServiceName,
    topic: &Arc<str>,
    lane: Lane,
    (after, to): (Pos, Pos),
    key: Option<&str>,
) -> Result<Vec<Record>, StoreError> {
    let rows: Vec<Logged> = match key {
        None => read.query(STRETCH, params![topic, lane, after, to]).await?,
        Some(key) => read.query(STRETCH_OF_KEY, params![topic, lane, after, to, key]).await?,
    };
    Ok(rows.into_iter().map(|row| record(source, topic, lane, row)).collect())
}

/// When the record at a position was appended, by the source's clock; `None` when it is not in the log.
pub async fn appended_at(
    read: &mut Read,
    topic: &str,
    lane: Lane,
    pos: Pos,
) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(Timestamp,)> = read.query_opt(APPENDED_AT, params![topic, lane, pos]).await?;
    Ok(row.map(|(at,)| at))
}

/// The list of epochs with the time at which each began, oldest first.
pub async fn epochs_began(read: &mut Read) -> Result<Vec<(Epoch, Timestamp)>, StoreError> {
    read.query(BEGAN, params![]).await
}

type Logged = (Pos, Epoch, Arc<str>, u32, Arc<str>, Arc<str>, Bytes, Timestamp);

fn record(source: &ServiceName, topic: &Arc<str>, lane: Lane, row: Logged) -> Record {
    let (pos, epoch, kind, schema_v, key, headers, payload, at) = row;
    Record {
        source: source.clone(),
        topic: Arc::clone(topic),
        lane,
        epoch,
        pos,
        kind,
        schema_v,
        key,
        headers,
        payload,
        at,
    }
}
