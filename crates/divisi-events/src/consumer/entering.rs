//! Entering a new epoch of a source: one transaction, before any batch.

use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::mutation::{self, Mutation};
use divisi_store::{Class, Epochs, Lane, Read, Store, StoreError, Tx, TxFailed, failpoint, parked};

use super::batch::failed_at;
use super::status::Diverged;
use crate::epochs::{self, CannotEnter};

/// What became of it.
#[derive(Debug)]
pub(super) enum Entering {
    /// The epoch is entered.
    Entered(Vec<Diverged>),
    /// Another consumer of this name has entered it, or a later one.
    Done,
    /// It cannot be.
    Cannot(CannotEnter),
    /// The store failed; whatever happened, it is asked again.
    Failed(StoreError),
}

enum Left {
    Store(StoreError),
    Done,
    Cannot(CannotEnter),
}

/// Enters the source's epoch of today. `theirs` is the source's list, for `lanes`.
pub(super) async fn enter(store: &Store, inbox: &Inbox, theirs: &Epochs, lanes: &[Lane]) -> Entering {
    let outcome =
        store.run(Class::Upkeep, async |tx: &mut Tx| move_all(tx, inbox, theirs, lanes).await).await;
    match outcome {
        Ok((diverged, _)) => Entering::Entered(diverged),
        Err(TxFailed::Body(Left::Done)) => Entering::Done,
        Err(TxFailed::Body(Left::Cannot(cannot))) => Entering::Cannot(cannot),
        Err(
            TxFailed::Body(Left::Store(error))
            | TxFailed::DidNotHappen(error)
            | TxFailed::MayHaveHappened(error),
        ) => Entering::Failed(error),
    }
}

async fn move_all(
    tx: &mut Tx,
    inbox: &Inbox,
    theirs: &Epochs,
    lanes: &[Lane],
) -> Result<Vec<Diverged>, Left> {
    let to = theirs.current();
    let marks = inbox.lock_all(tx).await?;
    if marks.iter().any(|(lane, at)| lanes.contains(lane) && at.epoch >= to) {
        return Err(Left::Done);
    }
    let mine = list(tx, inbox, &marks).await?;
    let mut diverged = Vec::new();
    for &(lane, at) in marks.iter().filter(|(lane, _)| lanes.contains(lane)) {
        let entered = epochs::enter(theirs, &mine, lane, at.pos).map_err(Left::Cannot)?;
        if entered.lost > 0 {
            diverged.push(Diverged { lane, epoch: to, shared: entered.pos, applied: at.pos });
            parked::remove_beyond(tx, inbox, lane, entered.pos).await?;
        }
        inbox.advance(tx, lane, Watermark { epoch: to, pos: entered.pos }, None).await?;
    }
    inbox.replace_epochs(tx, &epochs::kept(theirs, &mine)).await?;
    if failpoint::hit("epoch.entering") {
        return Err(Left::Store(failed_at("epoch.entering")));
    }
    Ok(diverged)
}

/// The source's list, as it was when the last epoch was entered.
pub(super) async fn list(
    read: &mut Read,
    inbox: &Inbox,
    marks: &[(Lane, Watermark)],
) -> Result<Epochs, StoreError> {
    if mutation::made(Mutation::ListForgotten) {
        let known =
            marks.iter().map(|(_, at)| at.epoch).max().filter(|epoch| epoch.0 > 0).into_iter().collect();
        return Ok(Epochs { known, forks: Vec::new() });
    }
    inbox.epochs(read).await
}

impl From<StoreError> for Left {
    fn from(error: StoreError) -> Left {
        Left::Store(error)
    }
}
