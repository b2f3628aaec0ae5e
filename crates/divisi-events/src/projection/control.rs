//! The row that says which version is which, in the service's own store.
//!
//! A rebuild must not end because the service's store was in trouble for a moment, or because a transaction that it
//! shared a commit with went wrong. Every change of the row may be made twice, so it is made until it is there.

use std::sync::Arc;

use divisi_store::projection::{self as rows, ProjectionRow};
use divisi_store::{Class, Read, Store, StoreError, StoreErrorKind, Tx, TxFailed};
use tokio::time::sleep;
use tracing::warn;

use super::{Projection, ProjectionError, reading};
use crate::consumer::{ConsumerOptions, LeasedLanes};

/// What happens to a projection.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// It is there, of this shape if it was not before, and the version that readers see is read here, where others must know.
    Open { shape: u32, reader: Arc<str>, owner: Option<String> },
    /// A version is being built.
    Build { version: u32, shape: u32 },
    /// That version is about to take over, or is not after all.
    Flipping { version: u32, flipping: bool },
    /// It has taken over, unless another instance does not stand still any more.
    Flip { version: u32, old: Old },
    /// The version before is gone.
    ForgetPrevious,
}

/// The version that is to be left, as this instance keeps it up to date.
#[derive(Debug, Clone)]
pub(super) struct Old {
    pub(super) reader: Arc<str>,
    pub(super) version: u32,
    /// Under which leases are held here; none where nobody else is.
    pub(super) owner: Option<String>,
}

impl Projection {
    /// Changes the row, and knows it as it then is.
    pub(super) async fn change(&mut self, change: Change) -> Result<(), ProjectionError> {
        self.row = self::change(&self.control, self.spec.name, &change).await?;
        Ok(())
    }
}

/// Changes the row of a projection; the row as it then is. Trouble of the store that passes is waited for.
pub(super) async fn change(
    control: &Store,
    name: &'static str,
    change: &Change,
) -> Result<ProjectionRow, ProjectionError> {
    let backoff = ConsumerOptions::default().backoff;
    let mut attempts = 0;
    loop {
        let changed = control.run(Class::Upkeep, async |tx: &mut Tx| change.make(tx, name).await).await;
        let error = match changed {
            Ok((row, _)) => return Ok(row),
            Err(TxFailed::MayHaveHappened(error)) => error,
            Err(TxFailed::Body(error) | TxFailed::DidNotHappen(error)) if passes(&error) => error,
            Err(TxFailed::Body(source) | TxFailed::DidNotHappen(source)) => {
                return Err(ProjectionError::Control { name: name.to_owned(), source });
            }
        };
        attempts += 1;
        let pause = backoff.after(attempts);
        warn!(
            projection.name = name,
            "cannot write down where the projection is, again in {pause:?}: {error}"
        );
        sleep(pause).await;
    }
}

impl Old {
    /// Whether no other instance keeps it up to date.
    pub(super) async fn stands_still(&self, read: &mut Read) -> Result<bool, StoreError> {
        match &self.owner {
            None => Ok(true),
            Some(owner) => Ok(!LeasedLanes::is_kept(read, &self.reader, self.version, owner).await?),
        }
    }
}

/// Whether the same may work later: a machine that is busy makes even this take too long.
fn passes(error: &StoreError) -> bool {
    error.is_transient() || error.kind == StoreErrorKind::TooLong
}

impl Change {
    async fn make(&self, tx: &mut Tx, name: &str) -> Result<ProjectionRow, StoreError> {
        match *self {
            Change::Open { shape, ref reader, ref owner } => {
                let row = rows::read_or_create(tx, name, shape).await?;
                let Some(owner) = owner else { return Ok(row) };
                // Behind the row's lock: nobody removes the version before it is said.
                let row = rows::hold(tx, name).await?;
                reading::begins(tx, reader, row.active, owner).await?;
                return Ok(row);
            }
            Change::Build { version, shape } => rows::build(tx, name, version, shape).await?,
            Change::Flipping { version, flipping } => rows::flipping(tx, name, version, flipping).await?,
            Change::Flip { version, ref old } => {
                // Behind the row's lock: whoever goes on with the old version has said so before, or finds it replaced.
                let row = rows::hold(tx, name).await?;
                if row.flipping && old.stands_still(tx).await? {
                    rows::flip(tx, name, version).await?;
                }
            }
            Change::ForgetPrevious => rows::forget_previous(tx, name).await?,
        }
        rows::read_again(tx, name).await
    }
}
