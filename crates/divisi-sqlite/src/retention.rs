//! Forgetting the log's oldest part, where an age limit is set.
//!
//! What a registered reader has not read stays, however old; after a restore that means what it has not read of the
//! life that goes on. The floor of a lane says how far it was forgotten, and a fetch below it is refused in words.

use std::time::{Duration, Instant};

use divisi_store::{Class, Lane, Pos, Row, Store, StoreError, Timestamp, Tx, TxFailed, params, reader};

/// How many records a step forgets at most.
pub const RECORDS_A_STEP: usize = 500;
/// How long a step holds the writer, about.
pub const STEP: Duration = Duration::from_millis(1);

/// How many records one statement forgets, between two looks at the clock.
const RECORDS_A_LOOK: usize = 100;

/// Free pages that stay in the file: what is written next takes them.
pub const PAGES_KEPT: i64 = 1_024;

/// Gives 64 pages back: a step like those above.
const GIVE_BACK: &str = "PRAGMA incremental_vacuum(64)";

/// The lanes of a topic from one on, with their floors.
const LANES: &str = "SELECT lane, floor_pos FROM divisi_lane WHERE topic = $1 AND lane >= $2 ORDER BY lane";
const OLDEST: &str =
    "SELECT pos, at FROM divisi_outbox WHERE topic = $1 AND lane = $2 AND pos > $3 ORDER BY pos LIMIT $4";

/// Forgets every record of `topic` that is older than `age` and that all registered readers have; how many. It runs in
/// the consumers' queue, in steps of [`RECORDS_A_STEP`] records or about [`STEP`], so that nobody waits for it long. What has become free
/// beyond [`PAGES_KEPT`] is given back to the file system.
pub async fn forget(store: &Store, topic: &str, age: Duration) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    let mut from = Lane(0);
    loop {
        let step = store.run(Class::Upkeep, async |tx: &mut Tx| step(tx, topic, age, from).await).await;
        let (done, _) = step.map_err(TxFailed::into_error)?;
        forgotten += done.records;
        match done.go_on {
            Some(lane) => from = lane,
            None => break,
        }
    }
    if forgotten > 0 {
        let mut before = i64::MAX;
        // A file that was made without `auto_vacuum`, as a dump that is read in, gives nothing back.
        while let Some(free) = give_back(store).await?.filter(|free| *free < before) {
            before = free;
        }
    }
    Ok(forgotten)
}

/// Makes the file shorter by a step; how many pages were free, if there was something to give back. The disk has the room when a
/// checkpoint comes.
async fn give_back(store: &Store) -> Result<Option<i64>, StoreError> {
    let step = store.run(Class::Upkeep, async |tx: &mut Tx| {
        let (free,): (i64,) = tx.query_one("PRAGMA freelist_count", &[]).await?;
        let more = free > PAGES_KEPT;
        if more {
            let _: Vec<Row> = tx.query(GIVE_BACK, &[]).await?;
        }
        Ok(more.then_some(free))
    });
    let (free, _) = step.await.map_err(TxFailed::into_error)?;
    Ok(free)
}

struct Done {
    records: u64,
    /// The lane in which there may be more.
    go_on: Option<Lane>,
}

async fn step(tx: &mut Tx, topic: &str, age: Duration, from: Lane) -> Result<Done, StoreError> {
    let began = Instant::now();
    let before = Timestamp(tx.now().0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
    let mut records = 0;
    let mut looked = false;
    let lanes: Vec<(Lane, Pos)> = tx.query(LANES, params![topic, from]).await?;
    for (lane, floor) in lanes {
        let read = reader::safe_position(tx, topic, lane).await?;
        let mut floor = floor;
        loop {
            // A step looks once at least: one that is slow to begin must not begin for ever.
            if looked && (records as usize >= RECORDS_A_STEP || began.elapsed() >= STEP) {
                return Ok(Done { records, go_on: Some(lane) });
            }
            looked = true;
            let oldest: Vec<(Pos, Timestamp)> =
                tx.query(OLDEST, params![topic, lane, floor, RECORDS_A_LOOK as i64]).await?;
            let n_seen = oldest.len();
            // In order, and only as far as it is old: a clock that was set back must not tear a hole.
            let old = oldest
                .into_iter()
                .take_while(|(pos, at)| *at < before && read.is_none_or(|read| *pos <= read))
                .map(|(pos, _)| pos);
            let (n_old, last) = old.fold((0, floor), |(n, _), pos| (n + 1, pos));
            if n_old > 0 {
                tx.execute(
                    "DELETE FROM divisi_outbox WHERE topic = $1 AND lane = $2 AND pos <= $3",
                    params![topic, lane, last],
                )
                .await?;
                tx.execute(
                    "UPDATE divisi_lane SET floor_pos = $3 WHERE topic = $1 AND lane = $2",
                    params![topic, lane, last],
                )
                .await?;
                records += n_old as u64;
                floor = last;
            }
            if n_old < n_seen || n_seen < RECORDS_A_LOOK {
                break;
            }
        }
    }
    Ok(Done { records, go_on: None })
}
