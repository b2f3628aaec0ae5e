//! Who reads this log, and how far each of them is.
//!
//! A reader is a consumer or a relay. It is registered from the source's first start, tells its progress every few
//! seconds, and stays until an operator drops it: retention removes nothing that it still needs.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::LANES;

use crate::epoch::Epoch;
use crate::error::StoreError;
use crate::params;
use crate::record::{Lane, Pos, Timestamp};
use crate::transaction::{Read, Tx};

/// A reader that was not heard of for so long is worth an alarm: retention waits for it.
pub const UNSEEN_ALARM: Duration = Duration::from_secs(3_600);

/// How far one reader is in one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Its name.
    pub name: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// Its lanes, in order.
    pub lanes: Vec<ReaderLane>,
}

/// How far one reader is in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderLane {
    /// The lane.
    pub lane: Lane,
    /// The epoch that it has entered; 0 before its first word.
    pub epoch: Epoch,
    /// The last position that took effect there, as it said.
    pub pos: Pos,
    /// The end of what it has read of today's history: `pos`, but not beyond the fork of a later epoch.
    pub shared: Pos,
    /// The end of the lane.
    pub head: Pos,
    /// When the first event that it has not read was appended.
    pub unread_since: Option<Timestamp>,
    /// When it was last heard of.
    pub seen_at: Timestamp,
}

/// The end of what a reader shares with today's history, in a query over `divisi_reader r`.
///
/// An epoch that is not in the list belongs to another life of this database, and where that one parted from ours
/// only the reader knows: until it has entered again, it is taken to need everything.
const SHARED: &str = "CASE WHEN r.epoch NOT IN (SELECT epoch FROM divisi_epoch) THEN 0 \
     WHEN r.pos > (SELECT min(f.fork) FROM divisi_fork f WHERE f.topic = r.topic AND f.lane = r.lane AND f.epoch > r.epoch) \
     THEN (SELECT min(f.fork) FROM divisi_fork f WHERE f.topic = r.topic AND f.lane = r.lane AND f.epoch > r.epoch) \
     ELSE r.pos END";

/// Registers a reader at the start of `lanes` lanes of a topic; one that is there already stays as it is.
pub async fn register(tx: &mut Tx, reader: &str, topic: &str, lanes: u16) -> Result<(), StoreError> {
    let now = tx.now();
    let sql = "INSERT INTO divisi_reader (reader, topic, lane, epoch, pos, seen_at) VALUES ($1, $2, $3, 0, 0, $4) \
               ON CONFLICT DO NOTHING";
    for lane in (0..lanes).map(Lane) {
        tx.send(sql, params![reader, topic, lane, now]).await?;
    }
    Ok(())
}

/// Keeps how far a reader says it is. It may go back: its database may have been restored.
pub async fn tell(
    tx: &mut Tx,
    reader: &str,
    topic: &str,
    lanes: &[(Lane, Epoch, Pos)],
) -> Result<(), StoreError> {
    let now = tx.now();
    let sql = "INSERT INTO divisi_reader (reader, topic, lane, epoch, pos, seen_at) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (reader, topic, lane) DO UPDATE \
               SET epoch = excluded.epoch, pos = excluded.pos, seen_at = excluded.seen_at";
    for (lane, epoch, pos) in lanes {
        tx.send(sql, params![reader, topic, lane, epoch, pos, now]).await?;
    }
    Ok(())
}

/// Notes that a reader was heard of, though it has not moved.
pub async fn seen(tx: &mut Tx, reader: &str, topic: &str) -> Result<(), StoreError> {
    let now = tx.now();
    let sql = "UPDATE divisi_reader SET seen_at = $3 WHERE reader = $1 AND topic = $2";
    tx.send(sql, params![reader, topic, now]).await
}

/// Forgets a reader, so that retention no longer waits for it; how many rows it had. An operator's decision: the
/// reader may find itself below the floor when it comes back.
pub async fn drop_reader(tx: &mut Tx, reader: &str) -> Result<u64, StoreError> {
    tx.execute("DELETE FROM divisi_reader WHERE reader = $1", params![reader]).await
}

/// The highest position of a lane that no reader needs any more; `None` when nobody is registered.
///
/// What retention may delete is at most this, and what its age limit allows. Call it in the transaction that deletes.
pub async fn safe_position(read: &mut Read, topic: &str, lane: Lane) -> Result<Option<Pos>, StoreError> {
    let sql = format!("SELECT min({SHARED}) FROM divisi_reader r WHERE r.topic = $1 AND r.lane = $2");
    let (safe,): (Option<Pos>,) = read.query_one(&sql, params![topic, lane]).await?;
    Ok(safe)
}

/// The oldest epoch that some reader of this log may still be in, as far as it said; `None` when nobody is registered.
///
/// Epochs below it may leave the list, but none while it is 0: a reader that entered and died before its first word
/// finds no epoch in common otherwise.
pub async fn oldest_epoch(read: &mut Read) -> Result<Option<Epoch>, StoreError> {
    let (oldest,): (Option<Epoch>,) =
        read.query_one("SELECT min(epoch) FROM divisi_reader", params![]).await?;
    Ok(oldest)
}

/// Every reader of every topic, with how much it has not read.
pub async fn readers(read: &mut Read) -> Result<Vec<Reader>, StoreError> {
    type Told = (Arc<str>, Arc<str>, Lane, Epoch, Pos, Pos, Pos, Option<Timestamp>, Timestamp);
    let sql = format!(
        "SELECT x.reader, x.topic, x.lane, x.epoch, x.pos, x.shared, \
         coalesce((SELECT max(o.pos) FROM divisi_outbox o WHERE o.topic = x.topic AND o.lane = x.lane), \
                  (SELECT l.floor_pos FROM divisi_lane l WHERE l.topic = x.topic AND l.lane = x.lane), 0), \
         (SELECT o.at FROM divisi_outbox o WHERE o.topic = x.topic AND o.lane = x.lane AND o.pos > x.shared \
          ORDER BY o.pos LIMIT 1), \
         x.seen_at \
         FROM (SELECT r.*, {SHARED} AS shared FROM divisi_reader r) x ORDER BY x.reader, x.topic, x.lane"
    );
    let rows: Vec<Told> = read.query(&sql, params![]).await?;
    let mut readers: Vec<Reader> = Vec::new();
    for (name, topic, lane, epoch, pos, shared, head, unread_since, seen_at) in rows {
        let lane = ReaderLane { lane, epoch, pos, shared, head, unread_since, seen_at };
        match readers.last_mut().filter(|last| last.name == name && last.topic == topic) {
            Some(last) => last.lanes.push(lane),
            None => {
                let mut lanes = Vec::with_capacity(usize::from(LANES));
                lanes.push(lane);
                readers.push(Reader { name, topic, lanes });
            }
        }
    }
    Ok(readers)
}

impl Reader {
    /// How many events it has not read.
    pub fn unread(&self) -> i64 {
        self.lanes.iter().map(ReaderLane::unread).sum()
    }

    /// When the oldest event that it has not read was appended.
    pub fn unread_since(&self) -> Option<Timestamp> {
        self.lanes.iter().filter_map(|lane| lane.unread_since).min()
    }

    /// When it was last heard of.
    pub fn seen_at(&self) -> Timestamp {
        self.lanes.iter().map(|lane| lane.seen_at).max().unwrap_or_default()
    }

    /// Whether it has not been heard of for [`UNSEEN_ALARM`].
    pub fn is_unseen(&self, now: Timestamp) -> bool {
        let alarm = i64::try_from(UNSEEN_ALARM.as_micros()).unwrap_or(i64::MAX);
        now.0.saturating_sub(self.seen_at().0) >= alarm
    }
}

impl ReaderLane {
    /// How many events of this lane it has not read.
    pub fn unread(&self) -> i64 {
        self.head.0.saturating_sub(self.shared.0).max(0)
    }
}
