//! A page of the log in two questions, whatever the number of lanes: where they end, and what comes next.
//!
//! It is what `divisi_store::outbox::read_page` brings, statement by statement, where a question costs nothing.

use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_store::epoch::Fork;
use divisi_store::outbox::{Page, PageWanted, RECORDS_IN_TURN};
use divisi_store::{Epoch, Epochs, Lane, Pos, Record, StoreError, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::epochs::{column, one};
use crate::link::Link;

/// Today's epoch, and whether this is still the life that it was begun in.
const LIFE: &str = "SELECT m.epoch, m.db_identity = divisi_identity() FROM divisi_meta m";
const KNOWN: &str = "SELECT epoch FROM divisi_epoch ORDER BY epoch";
const FORKS: &str =
    "SELECT lane, epoch, fork FROM divisi_fork WHERE topic = $1 AND lane = ANY($2) ORDER BY lane, epoch";
/// The ends of lanes, and how far they were forgotten.
pub(crate) const HEADS: &str = "SELECT l.lane, coalesce((SELECT o.pos FROM divisi_outbox o WHERE o.topic = l.topic AND o.lane = l.lane \
                     ORDER BY o.pos DESC LIMIT 1), l.floor_pos), l.floor_pos \
                     FROM divisi_lane l WHERE l.topic = $1 AND l.lane = ANY($2)";
/// What comes after some positions, lanes in turn, until it is enough. Sizes are added up before anything large is
/// read; the first record counts whatever its size.
const RECORDS: &str = "WITH wanted AS (SELECT * FROM unnest($2::int[], $3::bigint[]) WITH ORDINALITY AS w(lane, after, place)), \
    candidate AS (SELECT w.lane, w.place, o.pos, o.size, (row_number() OVER (PARTITION BY w.place ORDER BY o.pos) - 1) / $5::bigint AS turn \
      FROM wanted w CROSS JOIN LATERAL (SELECT pos, 160 + octet_length(key) + octet_length(headers) + octet_length(payload) AS size \
        FROM divisi_outbox WHERE topic = $1 AND lane = w.lane AND pos > w.after ORDER BY pos LIMIT $4::bigint) o), \
    counted AS (SELECT lane, pos, row_number() OVER (ORDER BY turn, place, pos) AS n, \
      sum(size) OVER (ORDER BY turn, place, pos) AS bytes FROM candidate) \
    SELECT o.lane, o.pos, o.epoch, o.type, o.schema_v, o.key, o.headers, o.payload, o.at \
    FROM counted c JOIN divisi_outbox o ON o.topic = $1 AND o.lane = c.lane AND o.pos = c.pos \
    WHERE c.n <= $6::bigint AND (c.n = 1 OR c.bytes <= $7::bigint) ORDER BY c.n";

/// Reads a page in the snapshot of `link`; `None` if this is another life of the database than the stored one.
pub(crate) async fn read(
    link: &mut Link,
    source: &ServiceName,
    wanted: &PageWanted,
) -> Result<Option<Page>, StoreError> {
    let lanes: Vec<i32> = wanted.lanes.iter().map(|(lane, _)| lane.0.into()).collect();
    let topic: &str = &wanted.topic;
    let (life, known) = (link.prepare(LIFE).await?, link.prepare(KNOWN).await?);
    let (forks, heads) = (link.prepare(FORKS).await?, link.prepare(HEADS).await?);
    let params: [&(dyn ToSql + Sync); 2] = [&topic, &lanes];
    let (life, known, forks, heads) = link
        .run(async |client| {
            tokio::try_join!(
                client.query(&life, &[]),
                client.query(&known, &[]),
                client.query(&forks, &params),
                client.query(&heads, &params),
            )
        })
        .await?;
    let life = one(life)?;
    if !column::<bool>(&life, 1)? {
        return Ok(None);
    }
    let known: Vec<Epoch> = known.iter().map(|row| column(row, 0).map(Epoch)).collect::<Result<_, _>>()?;
    let forks: Vec<Fork> = forks.iter().map(fork).collect::<Result<_, _>>()?;
    let ends: Vec<(Lane, Pos, Pos)> = heads.iter().map(end).collect::<Result<_, _>>()?;
    let mut page = Page { epochs: Epochs { known, forks }, ..Page::default() };
    let mut open: (Vec<i32>, Vec<i64>) = Default::default();
    for &(lane, after) in &wanted.lanes {
        let end = ends.iter().find(|(of, _, _)| *of == lane);
        let (head, floor) = end.map_or_else(Default::default, |(_, head, floor)| (*head, *floor));
        page.heads.push((lane, head));
        page.floors.push((lane, floor));
        if after < head && after >= floor {
            open.0.push(lane.0.into());
            open.1.push(after.0);
        }
    }
    if !open.0.is_empty() && wanted.max_records > 0 {
        page.records = records(link, source, wanted, &open.0, &open.1).await?;
    }
    Ok(Some(page))
}

async fn records(
    link: &mut Link,
    source: &ServiceName,
    wanted: &PageWanted,
    lanes: &[i32],
    after: &[i64],
) -> Result<Vec<Arc<Record>>, StoreError> {
    let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    // A lane can have more than its even share only where others have less, and then the next page brings it.
    let share =
        wanted.max_records.div_ceil(lanes.len()).div_ceil(RECORDS_IN_TURN).saturating_mul(RECORDS_IN_TURN);
    let topic: &str = &wanted.topic;
    let rows = link
        .ours(
            RECORDS,
            &[
                &topic,
                &lanes,
                &after,
                &whole(share),
                &whole(RECORDS_IN_TURN),
                &whole(wanted.max_records),
                &whole(wanted.max_bytes),
            ],
        )
        .await?;
    rows.iter().map(|row| record(source, &wanted.topic, row).map(Arc::new)).collect()
}

fn record(source: &ServiceName, topic: &Arc<str>, row: &Row) -> Result<Record, StoreError> {
    Ok(Record {
        source: source.clone(),
        topic: Arc::clone(topic),
        lane: lane(column(row, 0)?)?,
        pos: Pos(column(row, 1)?),
        epoch: Epoch(column(row, 2)?),
        kind: column::<&str>(row, 3)?.into(),
        schema_v: u32::try_from(column::<i32>(row, 4)?).unwrap_or_default(),
        key: column::<&str>(row, 5)?.into(),
        headers: column::<&str>(row, 6)?.into(),
        payload: column::<Vec<u8>>(row, 7)?.into(),
        at: Timestamp(column(row, 8)?),
    })
}

fn fork(row: &Row) -> Result<Fork, StoreError> {
    Ok(Fork { lane: lane(column(row, 0)?)?, epoch: Epoch(column(row, 1)?), fork: Pos(column(row, 2)?) })
}

/// A lane, its end and its floor.
pub(crate) fn end(row: &Row) -> Result<(Lane, Pos, Pos), StoreError> {
    Ok((lane(column(row, 0)?)?, Pos(column(row, 1)?), Pos(column(row, 2)?)))
}

fn lane(n: i32) -> Result<Lane, StoreError> {
    u16::try_from(n).map(Lane).map_err(|error| {
        StoreError::new(divisi_store::StoreErrorKind::Corrupt, format!("{n} is not a lane"))
            .with_source(error)
    })
}
