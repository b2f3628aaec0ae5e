//! Forgetting the log's oldest part, where an age limit is set.
//!
//! What a registered reader has not read stays, however old; after a restore that means what it has not read of the
//! life that goes on. The floor of a lane says how far it was forgotten, and a fetch below it is refused in words.

use std::time::Duration;

use divisi_store::{Class, Lane, Pos, Store, StoreError, Timestamp, Tx, TxFailed, params, reader};

/// How many records of one lane a step forgets at most: its writers wait that long.
pub const RECORDS_A_STEP: i64 = 500;

/// The lanes whose oldest record is too old.
const OLD: &str = "SELECT lane FROM divisi_lane l WHERE topic = $1 AND \
                   (SELECT o.at FROM divisi_outbox o WHERE o.topic = l.topic AND o.lane = l.lane ORDER BY o.pos LIMIT 1) < $2 \
                   ORDER BY lane";
/// The lock that writers take: the floor must not race with the end.
const FLOOR: &str = "SELECT floor_pos FROM divisi_lane WHERE topic = $1 AND lane = $2 FOR NO KEY UPDATE";
const OLDEST: &str =
    "SELECT pos, at FROM divisi_outbox WHERE topic = $1 AND lane = $2 AND pos > $3 ORDER BY pos LIMIT $4";

/// Forgets every record of `topic` that is older than `age` and that all registered readers have; how many. It runs in
/// steps of one lane and [`RECORDS_A_STEP`] records, so that nobody waits for it long.
pub async fn forget(store: &Store, topic: &str, age: Duration) -> Result<u64, StoreError> {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let before = Timestamp(store.backend().clock().now().0.saturating_sub(age));
    let lanes: Vec<(Lane,)> = store
        .read(async |read: &mut divisi_store::Read| read.query(OLD, params![topic, before]).await)
        .await?;
    let mut forgotten = 0;
    for (lane,) in lanes {
        loop {
            let step = async |tx: &mut Tx| step(tx, topic, lane, before).await;
            let (n, _) = store.run(Class::Upkeep, step).await.map_err(TxFailed::into_error)?;
            forgotten += n;
            if n < RECORDS_A_STEP.unsigned_abs() {
                break;
            }
        }
    }
    Ok(forgotten)
}

async fn step(tx: &mut Tx, topic: &str, lane: Lane, before: Timestamp) -> Result<u64, StoreError> {
    let (floor,): (Pos,) = tx.query_one(FLOOR, params![topic, lane]).await?;
    let read = reader::safe_position(tx, topic, lane).await?;
    let oldest: Vec<(Pos, Timestamp)> = tx.query(OLDEST, params![topic, lane, floor, RECORDS_A_STEP]).await?;
    // In order, and only as far as it is old: a clock that was set back must not tear a hole.
    let old = oldest
        .into_iter()
        .take_while(|(pos, at)| *at < before && read.is_none_or(|read| *pos <= read))
        .map(|(pos, _)| pos);
    let Some(last) = old.last() else { return Ok(0) };
    let sql = "DELETE FROM divisi_outbox WHERE topic = $1 AND lane = $2 AND pos <= $3";
    let n = tx.execute(sql, params![topic, lane, last]).await?;
    let sql = "UPDATE divisi_lane SET floor_pos = $3 WHERE topic = $1 AND lane = $2";
    tx.execute(sql, params![topic, lane, last]).await?;
    Ok(n)
}
