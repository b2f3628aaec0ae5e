//! A new epoch: at every start of the owner, and when a reader knows a later one than we do.
//!
//! Nobody needs to remember a command after putting an older file back: the positions that the lost tail used are
//! used again in an epoch of their own, and the list of forks says where the two lives part.

use divisi_store::{Epoch, Timestamp};
use rusqlite::{Connection, params};

/// Begins an epoch above `above` and the stored one, in the transaction that is open. What it says about each lane is
/// where the lane ends now, the empty ones included: a reader that is ahead of an empty lane must see that.
pub(crate) fn begin(
    connection: &Connection,
    above: Epoch,
    now: Timestamp,
    kept: u32,
) -> rusqlite::Result<Epoch> {
    let stored: i64 = connection.query_row(
        "SELECT max((SELECT epoch FROM divisi_meta), (SELECT coalesce(max(epoch), 0) FROM divisi_epoch))",
        [],
        |row| row.get(0),
    )?;
    let epoch = Epoch::begin(above.max(Epoch(stored)), now);
    connection.execute("UPDATE divisi_meta SET epoch = ?1", [epoch.0])?;
    connection.execute("INSERT INTO divisi_epoch (epoch, began_at) VALUES (?1, ?2)", [epoch.0, now.0])?;
    connection.execute(
        "INSERT INTO divisi_fork (topic, lane, epoch, fork) \
         SELECT topic, lane, ?1, coalesce((SELECT max(pos) FROM divisi_outbox o WHERE o.topic = l.topic AND o.lane = l.lane), floor_pos) \
         FROM divisi_lane l",
        [epoch.0],
    )?;
    prune(connection, epoch, kept)?;
    Ok(epoch)
}

/// Forgets what no reader can need: a fork that a later one of its lane undercuts, and the oldest epochs once every
/// registered reader has entered a later one and `kept` newer ones are there.
fn prune(connection: &Connection, current: Epoch, kept: u32) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM divisi_fork WHERE EXISTS (SELECT 1 FROM divisi_fork later WHERE later.topic = divisi_fork.topic \
         AND later.lane = divisi_fork.lane AND later.epoch > divisi_fork.epoch AND later.fork <= divisi_fork.fork)",
        [],
    )?;
    connection.execute(
        "DELETE FROM divisi_epoch WHERE epoch < (SELECT coalesce(min(epoch), 0) FROM divisi_reader) AND epoch < ?1 \
         AND epoch NOT IN (SELECT epoch FROM divisi_epoch ORDER BY epoch DESC LIMIT ?2)",
        params![current.0, kept],
    )?;
    // A common epoch is in the list, and only forks after it count.
    connection
        .execute("DELETE FROM divisi_fork WHERE epoch < (SELECT min(epoch) FROM divisi_epoch)", params![])?;
    Ok(())
}
