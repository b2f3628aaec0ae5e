//! A new epoch: when the database is another life than the one that is stored, and when an operator says so.
//!
//! Which life it is, the server says: its system identifier, which a new cluster does not share; its timeline, which a
//! promotion and a restore to a point in time move on; and when it was started, since its files may have been put back
//! to an older copy while it did not run. A machine that is put back while it runs, memory and all, keeps all three:
//! after that an epoch is begun by hand.

use std::fmt;

use divisi_store::{Epoch, StoreError, StoreErrorKind, Timestamp};

use crate::arrival::{ARRIVING, CAME_FROM};
use crate::link::{Ending, Link};

/// Begins a transaction that may write.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Why an epoch is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// If this is another life than the stored one, or the first.
    OtherLife,
    /// In any case, above this one.
    Above(Epoch),
}

/// The epoch of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It had begun before.
    Before(Epoch),
    /// It is the first of a new database.
    First(Epoch),
    /// It follows another.
    Another(Epoch, Why),
}

/// Why an epoch follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The service has started for the first time where a move brought its database.
    Moved,
    /// The server is on another timeline: it was promoted, or restored to a point in time.
    Timeline,
    /// The server was started again, or another one has the database.
    Started,
    /// Somebody knows events that are not here, or an operator asked.
    Asked,
}

impl Why {
    /// What is different between the life that was noted and the one that is here.
    fn between(known: &str, here: &str) -> Why {
        // `divisi_identity`: the timeline, and when the server was started.
        let timeline = |life: &str| life.rsplit('/').nth(1).map(str::to_owned);
        match known {
            _ if known.starts_with(CAME_FROM) => Why::Moved,
            _ if timeline(known) != timeline(here) => Why::Timeline,
            _ => Why::Started,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Moved => "the service starts where its database was moved to",
            Why::Timeline => {
                "the database's server was promoted or restored, and may lack what was committed last"
            }
            Why::Started => {
                "the database's server was started anew, and its files may be older than they were"
            }
            Why::Asked => "a reader knows events that it lacks, or an operator asked for it",
        })
    }
}

/// Begins an epoch in the transaction of `link` and commits it.
///
/// All lanes are locked, in the order in which writers lock them: whoever appends does it wholly before or after.
/// Instances that see the same at the same time begin one epoch: who comes second looks again and finds it begun.
pub(crate) async fn begin(
    mut link: Link,
    reason: Reason,
    now: Timestamp,
    kept: u32,
) -> Result<Begun, StoreError> {
    link.ours("SELECT epoch FROM divisi_meta FOR UPDATE", &[]).await?;
    link.ours("SELECT 1 FROM divisi_lane ORDER BY topic, lane FOR NO KEY UPDATE", &[]).await?;
    let sql = "SELECT greatest(m.epoch, (SELECT max(epoch) FROM divisi_epoch)), m.db_identity, divisi_identity(), m.source FROM divisi_meta m";
    let row = one(link.ours(sql, &[]).await?)?;
    let source: String = column(&row, 3)?;
    if source.ends_with(ARRIVING) {
        // A move was taken back between our start and here.
        link.roll_back().await;
        return Err(StoreError::new(StoreErrorKind::Closed, "the database was moved elsewhere meanwhile"));
    }
    let (stored, known, here): (i64, String, String) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
    let (above, why) = match reason {
        Reason::OtherLife if known == here && stored > 0 => {
            link.roll_back().await;
            return Ok(Begun::Before(Epoch(stored)));
        }
        Reason::OtherLife => (Epoch(stored), Why::between(&known, &here)),
        Reason::Above(above) => (above.max(Epoch(stored)), Why::Asked),
    };
    let epoch = Epoch::begin(above, now);
    link.ours("UPDATE divisi_meta SET epoch = $1, db_identity = $2", &[&epoch.0, &here]).await?;
    link.ours("INSERT INTO divisi_epoch (epoch, began_at) VALUES ($1, $2)", &[&epoch.0, &now.0]).await?;
    // The empty lanes too: a reader that is ahead of an empty lane must see that.
    let forks = "INSERT INTO divisi_fork (topic, lane, epoch, fork) \
                 SELECT topic, lane, $1, coalesce((SELECT max(pos) FROM divisi_outbox o WHERE o.topic = l.topic AND o.lane = l.lane), floor_pos) \
                 FROM divisi_lane l";
    link.ours(forks, &[&epoch.0]).await?;
    prune(&mut link, epoch, kept).await?;
    match link.commit(async |_| Ok(())).await {
        Ending::Committed(()) if stored == 0 => Ok(Begun::First(epoch)),
        Ending::Committed(()) => Ok(Begun::Another(epoch, why)),
        Ending::Undone(error) | Ending::Unknown(error) => Err(error),
    }
}

/// Forgets what no reader can need: a fork that a later one of its lane undercuts, and the oldest epochs once every
/// registered reader has entered a later one and `kept` newer ones are there.
async fn prune(link: &mut Link, current: Epoch, kept: u32) -> Result<(), StoreError> {
    let undercut = "DELETE FROM divisi_fork WHERE EXISTS (SELECT 1 FROM divisi_fork later WHERE later.topic = divisi_fork.topic \
                    AND later.lane = divisi_fork.lane AND later.epoch > divisi_fork.epoch AND later.fork <= divisi_fork.fork)";
    link.ours(undercut, &[]).await?;
    let entered = "DELETE FROM divisi_epoch WHERE epoch < (SELECT coalesce(min(epoch), 0) FROM divisi_reader) AND epoch < $1 \
                   AND epoch NOT IN (SELECT epoch FROM divisi_epoch ORDER BY epoch DESC LIMIT $2)";
    link.ours(entered, &[&current.0, &i64::from(kept)]).await?;
    // A common epoch is in the list, and only forks after it count.
    let before = "DELETE FROM divisi_fork WHERE epoch < (SELECT min(epoch) FROM divisi_epoch)";
    link.ours(before, &[]).await.map(drop)
}

/// The one row of a query that has one.
pub(crate) fn one(rows: Vec<tokio_postgres::Row>) -> Result<tokio_postgres::Row, StoreError> {
    rows.into_iter()
        .next()
        .ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, "a row of the framework's tables is gone"))
}

/// A column of one of the framework's own tables.
pub(crate) fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a tokio_postgres::Row,
    n: usize,
) -> Result<T, StoreError> {
    row.try_get(n).map_err(crate::error::store_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_an_epoch_begins_is_told_by_what_is_different() {
        let here = "00000002/1700000000000001";
        for (known, why) in [
            ("moved from 01a2", Why::Moved),
            ("00000001/1700000000000001", Why::Timeline),
            ("00000002/1699999999999999", Why::Started),
            // As the first version noted it, with the cluster before.
            ("7312/00000002/1699999999999999", Why::Started),
            ("7312/00000001/1699999999999999", Why::Timeline),
        ] {
            assert_eq!(Why::between(known, here), why, "{known}");
        }
    }
}
