//! Watermarks: how far each lane of each source has taken effect here.
//!
//! This makes "at least once" look like once. A watermark moves in the transaction of the effects, behind a lock on its
//! row, so a second consumer of the same name waits and then sees that the work is done.

use std::sync::Arc;

use divisi_contract::ServiceName;

use crate::backend::Dialect;
use crate::epoch::{Epoch, Epochs, Fork};
use crate::error::{StoreError, StoreErrorKind};
use crate::record::{Lane, Pos};
use crate::transaction::{Read, Tx};
use crate::value::{FromRow, ToValue, ValueRef};

/// Adds one watermark, at the very start, if there is none.
pub const DECLARE: &str = "INSERT INTO divisi_watermark (consumer, source, topic, lane, epoch, pos, updated_at) \
                           VALUES ($1, $2, $3, $4, 0, 0, $5) ON CONFLICT DO NOTHING";
/// All watermarks of a topic, in the order in which they are locked.
pub const READ: &str = "SELECT lane, epoch, pos FROM divisi_watermark \
                        WHERE consumer = $1 AND source = $2 AND topic = $3 ORDER BY lane";
/// [`READ`], locked.
pub const READ_LOCKED: &str = "SELECT lane, epoch, pos FROM divisi_watermark \
                               WHERE consumer = $1 AND source = $2 AND topic = $3 ORDER BY lane FOR UPDATE";
/// One watermark.
pub const LOOK: &str = "SELECT epoch, pos FROM divisi_watermark \
                        WHERE consumer = $1 AND source = $2 AND topic = $3 AND lane = $4";
/// [`LOOK`], locked.
pub const LOOK_LOCKED: &str = "SELECT epoch, pos FROM divisi_watermark \
                               WHERE consumer = $1 AND source = $2 AND topic = $3 AND lane = $4 FOR UPDATE";
/// Locks one watermark for what changes and leaves it where it is: a transaction that sees an older state of what stands behind the lock
/// is told so by the row.
pub const TOUCH: &str = "UPDATE divisi_watermark SET updated_at = updated_at \
                         WHERE consumer = $1 AND source = $2 AND topic = $3 AND lane = $4";
/// Moves one watermark; the place on a carrier stays as it was when none is given.
pub const ADVANCE: &str = "UPDATE divisi_watermark SET epoch = $5, pos = $6, \
                           carrier_hint = coalesce($7, carrier_hint), updated_at = $8 \
                           WHERE consumer = $1 AND source = $2 AND topic = $3 AND lane = $4";
/// Where to resume each lane on a carrier.
pub const HINTS: &str = "SELECT lane, carrier_hint FROM divisi_watermark \
                         WHERE consumer = $1 AND source = $2 AND topic = $3 AND carrier_hint IS NOT NULL ORDER BY lane";
/// The epochs of the stored list.
pub const KNOWN: &str = "SELECT epoch FROM divisi_source_epoch \
                         WHERE consumer = $1 AND source = $2 AND topic = $3 ORDER BY epoch";
/// The forks of the stored list.
pub const FORKS: &str = "SELECT lane, epoch, fork FROM divisi_source_fork \
                         WHERE consumer = $1 AND source = $2 AND topic = $3 ORDER BY lane, epoch";
/// Forgets the epochs of the stored list.
pub const FORGET_KNOWN: &str =
    "DELETE FROM divisi_source_epoch WHERE consumer = $1 AND source = $2 AND topic = $3";
/// Forgets the forks of the stored list.
pub const FORGET_FORKS: &str =
    "DELETE FROM divisi_source_fork WHERE consumer = $1 AND source = $2 AND topic = $3";
/// Stores one epoch of the list.
pub const STORE_KNOWN: &str =
    "INSERT INTO divisi_source_epoch (consumer, source, topic, epoch) VALUES ($1, $2, $3, $4)";
/// Stores one fork of the list.
pub const STORE_FORK: &str = "INSERT INTO divisi_source_fork (consumer, source, topic, lane, epoch, fork) \
                              VALUES ($1, $2, $3, $4, $5, $6)";

/// Every statement of this file that is the same text in all dialects; a test prepares them.
pub const STATEMENTS: &[&str] = &[
    DECLARE,
    READ,
    LOOK,
    TOUCH,
    ADVANCE,
    HINTS,
    KNOWN,
    FORKS,
    FORGET_KNOWN,
    FORGET_FORKS,
    STORE_KNOWN,
    STORE_FORK,
];

/// One consumer's inbox for one topic of one source. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inbox {
    /// The consumer.
    pub consumer: Arc<str>,
    /// The service whose events they are.
    pub source: ServiceName,
    /// The topic.
    pub topic: Arc<str>,
}

/// How far one lane has taken effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The epoch that the consumer has entered.
    pub epoch: Epoch,
    /// The last position that took effect.
    pub pos: Pos,
}

impl Inbox {
    /// Adds the watermarks that are missing, before the first batch: a row that is not there locks nothing.
    pub async fn declare(&self, tx: &mut Tx, lanes: u16) -> Result<(), StoreError> {
        let now = tx.now();
        let [consumer, source, topic] = self.of();
        for lane in (0..lanes).map(Lane) {
            let params = [consumer, source, topic, lane.to_value(), now.to_value()];
            tx.send(DECLARE, &params).await?;
        }
        Ok(())
    }

    /// All watermarks, in order of lanes.
    pub async fn read(&self, read: &mut Read) -> Result<Vec<(Lane, Watermark)>, StoreError> {
        self.rows(read, READ).await
    }

    /// All watermarks, locked in order of lanes: nothing but entering an epoch locks more than one.
    pub async fn lock_all(&self, tx: &mut Tx) -> Result<Vec<(Lane, Watermark)>, StoreError> {
        let sql = if tx.dialect() == Dialect::Postgres { READ_LOCKED } else { READ };
        self.rows(tx, sql).await
    }

    /// One watermark, as it is now.
    pub async fn look(&self, read: &mut Read, lane: Lane) -> Result<Watermark, StoreError> {
        self.row(read, LOOK, lane).await
    }

    /// Locks one watermark until the transaction ends, for changes of what stands behind it that do not move it: whoever else applies this
    /// lane waits, and fails as a race that was lost if it sees the state of before.
    pub async fn hold(&self, tx: &mut Tx, lane: Lane) -> Result<(), StoreError> {
        let [consumer, source, topic] = self.of();
        match tx.execute(TOUCH, &[consumer, source, topic, lane.to_value()]).await? {
            0 => Err(self.missing(lane)),
            _ => Ok(()),
        }
    }

    /// Locks one watermark, and what a question behind the lock brings, whose parameters are consumer, source and topic.
    pub(crate) async fn lock_and_ask<T: FromRow>(
        &self,
        tx: &mut Tx,
        lane: Lane,
        question: &str,
    ) -> Result<(Watermark, Vec<T>), StoreError> {
        let [consumer, source, topic] = self.of();
        let (sql, of) = (look_locked(tx), [consumer, source, topic, lane.to_value()]);
        let (found, answer): (Vec<(Epoch, Pos)>, _) =
            tx.query_two((sql, &of), (question, &self.of())).await?;
        let (epoch, pos) = found.into_iter().next().ok_or_else(|| self.missing(lane))?;
        Ok((Watermark { epoch, pos }, answer))
    }

    /// Moves one watermark, which the transaction has locked. It goes with COMMIT, if nothing is waited for before.
    pub async fn advance(
        &self,
        tx: &mut Tx,
        lane: Lane,
        to: Watermark,
        hint: Option<&str>,
    ) -> Result<(), StoreError> {
        let now = tx.now();
        let [consumer, source, topic] = self.of();
        let row = [lane.to_value(), to.epoch.to_value(), to.pos.to_value(), hint.to_value(), now.to_value()];
        let [lane, epoch, pos, hint, now] = row;
        tx.send_one(ADVANCE, &[consumer, source, topic, lane, epoch, pos, hint, now]).await
    }

    /// Where to resume each lane on a carrier; never trusted.
    pub async fn hints(&self, read: &mut Read) -> Result<Vec<(Lane, String)>, StoreError> {
        read.query(HINTS, &self.of()).await
    }

    /// The source's list of epochs, as it was when the last one was entered.
    pub async fn epochs(&self, read: &mut Read) -> Result<Epochs, StoreError> {
        let known: Vec<(Epoch,)> = read.query(KNOWN, &self.of()).await?;
        let forks: Vec<(Lane, Epoch, Pos)> = read.query(FORKS, &self.of()).await?;
        Ok(Epochs {
            known: known.into_iter().map(|(epoch,)| epoch).collect(),
            forks: forks.into_iter().map(|(lane, epoch, fork)| Fork { lane, epoch, fork }).collect(),
        })
    }

    /// Stores the source's list of epochs, in the transaction that enters the last of them.
    ///
    /// It is kept a topic, not a source: topics enter one after the other, and each must find the list that it entered
    /// with.
    pub async fn replace_epochs(&self, tx: &mut Tx, epochs: &Epochs) -> Result<(), StoreError> {
        let [consumer, source, topic] = self.of();
        tx.send(FORGET_KNOWN, &self.of()).await?;
        tx.send(FORGET_FORKS, &self.of()).await?;
        for epoch in &epochs.known {
            tx.send(STORE_KNOWN, &[consumer, source, topic, epoch.to_value()]).await?;
        }
        for Fork { lane, epoch, fork } in &epochs.forks {
            let params = [consumer, source, topic, lane.to_value(), epoch.to_value(), fork.to_value()];
            tx.send(STORE_FORK, &params).await?;
        }
        Ok(())
    }

    async fn rows(&self, read: &mut Read, sql: &str) -> Result<Vec<(Lane, Watermark)>, StoreError> {
        let rows: Vec<(Lane, Epoch, Pos)> = read.query(sql, &self.of()).await?;
        Ok(rows.into_iter().map(|(lane, epoch, pos)| (lane, Watermark { epoch, pos })).collect())
    }

    async fn row(&self, read: &mut Read, sql: &str, lane: Lane) -> Result<Watermark, StoreError> {
        let [consumer, source, topic] = self.of();
        let row: Option<(Epoch, Pos)> =
            read.query_opt(sql, &[consumer, source, topic, lane.to_value()]).await?;
        row.map(|(epoch, pos)| Watermark { epoch, pos }).ok_or_else(|| self.missing(lane))
    }

    /// The parameters that every statement begins with.
    pub(crate) fn of(&self) -> [ValueRef<'_>; 3] {
        [self.consumer.to_value(), ValueRef::Text(self.source.as_str()), self.topic.to_value()]
    }

    fn missing(&self, lane: Lane) -> StoreError {
        let Inbox { consumer, source, topic } = self;
        StoreError::new(
            StoreErrorKind::Other,
            format!("the watermark of `{consumer}` for lane {lane} of `{source}/{topic}` is gone"),
        )
    }
}

/// [`LOOK`] with its lock, where the database knows one of rows.
fn look_locked(tx: &Tx) -> &'static str {
    if tx.dialect() == Dialect::Postgres { LOOK_LOCKED } else { LOOK }
}
