//! Several instances of a service, one row: each follows what another has decided, and decides behind the row's lock.
//!
//! What is removed is named by nobody: the row is locked while it is looked at, the version is dropped, and what is to be built is written
//! down. A version's number is never used again, so an instance that has not looked yet writes to nothing of the new one.

use std::time::Duration;

use divisi_store::projection::{self as rows, ProjectionRow};
use divisi_store::{Class, OpenError, Read, Store, StoreError, StoreErrorKind, Tx, TxFailed};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::consumer::LeasedLanes;

use super::rebuild::{FLIP_TIME, stop_running};
use super::{Input, Projection, ProjectionError, open_version};

/// How often the row is looked at, where another instance may change it.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Why nothing was decided.
enum Left {
    Store(StoreError),
    Remove(ProjectionError),
}

/// The row, once another instance has changed it; never where there is none.
pub(super) async fn moved(control: &Store, name: &str, known: &ProjectionRow) -> ProjectionRow {
    if control.backend().one_owner() {
        return std::future::pending().await;
    }
    loop {
        sleep(FOLLOW_EVERY).await;
        if let Some(row) = looked(control, name, known).await {
            return row;
        }
    }
}

/// The row, if another instance has changed it. A store that does not answer is asked again later.
pub(super) async fn looked(control: &Store, name: &str, known: &ProjectionRow) -> Option<ProjectionRow> {
    if control.backend().one_owner() {
        return None;
    }
    let read: Result<_, StoreError> =
        control.read(async |read: &mut Read| rows::read(read, name).await).await;
    read.ok().flatten().filter(|row| row != known)
}

impl Projection {
    /// Whether no other instance can decide anything.
    pub(super) fn is_alone(&self) -> bool {
        self.control.backend().one_owner()
    }

    /// Readers get a version from now on.
    pub(super) fn takes_over(&mut self, version: u32, store: Store) {
        let replaced = self.model.switch(store);
        self.previous = Some((self.reads.0, replaced));
        self.reads = (version, self.spec.shape);
        self.building = None;
        self.flips_refused = 0;
        info!(projection.name = self.spec.name, version, "readers see the new version");
    }

    /// The version that was being built here is nobody's any more.
    pub(super) async fn give_up(&mut self, store: &Store) {
        self.building = None;
        store.close().await;
        warn!(
            projection.name = self.spec.name,
            "another program of the service builds another version; this one goes on with version {}",
            self.reads.0
        );
    }

    /// Goes after another instance while nothing is built here; whether readers got another version. Until the new one is where the old one
    /// is here, they have the old one.
    pub(super) async fn follow(
        &mut self,
        row: ProjectionRow,
        inputs: &[Input],
    ) -> Result<bool, ProjectionError> {
        let is_new = row.active != self.row.active && row.active != self.reads.0;
        if is_new && row.shape == self.spec.shape {
            let opened = open_version(&self.spec, &self.stores, row.active).await;
            let store = match opened {
                Ok(store) => store,
                // It is looked at again: the row that is known here is still the one before.
                Err(error) => {
                    warn!(
                        projection.name = self.spec.name,
                        error = &error as &dyn std::error::Error,
                        "{error}"
                    );
                    return Ok(false);
                }
            };
            if !self.stands_behind(&store, inputs).await {
                store.close().await;
                self.active = self.start_old(inputs);
                return Ok(false);
            }
            self.takes_over(row.active, store);
        } else if is_new {
            warn!(
                projection.name = self.spec.name,
                "another program of the service has built version {} with another shape; this one reads version {} for as long as that is kept: end it",
                row.active,
                self.reads.0
            );
        }
        self.row = row;
        self.close_forgotten().await;
        Ok(is_new && self.reads.0 == self.row.active)
    }

    /// The same while version `number` is built here; whether that is over.
    pub(super) async fn follow_while_building(
        &mut self,
        row: ProjectionRow,
        (number, store): (u32, &Store),
        inputs: &[Input],
    ) -> bool {
        let goes_on = row.building == Some((number, self.spec.shape));
        if row.active == number {
            if !self.stands_behind(store, inputs).await {
                self.active = self.start_old(inputs);
                return false;
            }
            self.row = row;
            self.takes_over(number, store.clone());
            self.close_forgotten().await;
            return true;
        }
        self.row = row;
        if !goes_on {
            self.give_up(store).await;
        }
        self.close_forgotten().await;
        !goes_on
    }

    /// Lets the version that is read stand still here; whether `store` reaches it in time.
    async fn stands_behind(&mut self, store: &Store, inputs: &[Input]) -> bool {
        stop_running(&mut self.active).await;
        let mut lacks = None;
        let reached = timeout(FLIP_TIME, self.reaches(store, inputs, &mut lacks)).await;
        if !matches!(reached, Ok(Ok(()))) {
            let why = lacks.unwrap_or_else(|| "it does not say where it is".to_owned());
            tracing::debug!(
                projection.name = self.spec.name,
                "the version of another instance is not read yet: {why}"
            );
        }
        matches!(reached, Ok(Ok(())))
    }

    /// Closes the version that was read before when another instance has removed it.
    async fn close_forgotten(&mut self) {
        let kept = self.row.previous.map(|(version, _)| version);
        if let Some((_, store)) = self.previous.take_if(|(version, _)| Some(*version) != kept) {
            store.close().await;
        }
    }

    /// Removes what is in the way of a new version and writes down that it is being built, or finds that another instance was first.
    pub(super) async fn claim(&mut self, inputs: &[Input]) -> Result<(), ProjectionError> {
        if let Some((_, store)) = self.previous.take() {
            store.close().await;
        }
        let (name, shape, known) = (self.spec.name, self.spec.shape, self.row.active);
        let claimed = self.control.run(Class::Upkeep, async |tx: &mut Tx| {
            let row = held(tx, name).await?;
            let is_built = row.building.is_some_and(|(_, building)| building == shape);
            if row.active != known || is_built {
                return Ok(row);
            }
            let abandoned = row.building.map(|(version, _)| version);
            let version = abandoned.unwrap_or(row.active) + 1;
            let previous = row.previous.map(|(version, _)| version);
            for removed in previous.into_iter().chain(abandoned).chain([version]) {
                self.remove_unread(tx, removed).await?;
            }
            rows::forget_previous(tx, name).await?;
            rows::build(tx, name, version, shape).await?;
            held(tx, name).await
        });
        let row = self.decided(claimed.await)?;
        if row.active == known {
            self.row = row;
        } else {
            self.follow(row, inputs).await?;
        }
        Ok(())
    }

    /// Removes the version before, if its time is over for all.
    pub(super) async fn forget_among_others(&mut self, inputs: &[Input]) -> Result<(), ProjectionError> {
        let name = self.spec.name;
        let forgotten = self.control.run(Class::Upkeep, async |tx: &mut Tx| {
            let row = held(tx, name).await?;
            let now = tx.now();
            let Some((version, _)) = row.previous.filter(|(_, until)| *until <= now) else { return Ok(row) };
            self.remove_unread(tx, version).await?;
            rows::forget_previous(tx, name).await?;
            held(tx, name).await
        });
        let row = self.decided(forgotten.await)?;
        if row.active == self.row.active {
            self.row = row;
        } else {
            self.follow(row, inputs).await?;
        }
        Ok(())
    }

    /// Removes a version that no instance keeps up to date any more.
    async fn remove_unread(&self, tx: &mut Tx, version: u32) -> Result<(), Left> {
        if LeasedLanes::is_kept(tx, &self.reader(), version).await? {
            let why = "another instance of the service still reads it";
            return Err(Left::Remove(
                self.cannot_remove(version, StoreError::new(StoreErrorKind::Busy, why)),
            ));
        }
        self.remove(version).await.map_err(Left::Remove)
    }

    fn cannot_remove(&self, version: u32, source: StoreError) -> ProjectionError {
        let name = self.spec.name.to_owned();
        let what = format!("version {version} of projection `{name}`");
        ProjectionError::Remove { name, version, source: OpenError::Other { what, source } }
    }

    /// What was decided. Trouble that passes is one of removing: it is tried again.
    fn decided<P>(
        &self,
        outcome: Result<(ProjectionRow, P), TxFailed<Left>>,
    ) -> Result<ProjectionRow, ProjectionError> {
        let source = match outcome {
            Ok((row, _)) => return Ok(row),
            Err(TxFailed::Body(Left::Remove(error))) => return Err(error),
            Err(
                TxFailed::Body(Left::Store(error))
                | TxFailed::DidNotHappen(error)
                | TxFailed::MayHaveHappened(error),
            ) => error,
        };
        Err(if source.is_transient() || source.kind == StoreErrorKind::TooLong {
            let version = self.row.previous.map_or(self.row.active, |(version, _)| version);
            self.cannot_remove(version, source)
        } else {
            ProjectionError::Control { name: self.spec.name.to_owned(), source }
        })
    }
}

async fn held(tx: &mut Tx, name: &str) -> Result<ProjectionRow, Left> {
    let row = rows::hold(tx, name).await?;
    row.ok_or_else(|| {
        Left::Store(StoreError::new(
            StoreErrorKind::Other,
            format!("the row of projection `{name}` vanished"),
        ))
    })
}

impl From<StoreError> for Left {
    fn from(error: StoreError) -> Left {
        Left::Store(error)
    }
}
