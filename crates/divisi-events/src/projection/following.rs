//! Several instances of a service, one row: each follows what another has decided, and decides behind the row's lock.
//!
//! What is removed is named by nobody: the row is locked while it is looked at, the version is dropped, and what is to be built is written
//! down. A version's number is never used again, so an instance that has not looked yet writes to nothing of the new one.

use std::time::Duration;

use divisi_contract::error::Chain;
use divisi_store::projection::{self as rows, ProjectionRow};
use divisi_store::{
    Class, Dialect, OpenError, Read, Store, StoreError, StoreErrorKind, Tx, TxFailed, lease, params,
};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::consumer::LeasedLanes;

use super::control::Old;
use super::rebuild::stop_running;
use super::{Projection, ProjectionError, Wanted, open_version, reading};

/// How often the row is looked at, where another instance may change it.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How long to wait before a version that could not be opened is opened again.
const OPEN_AGAIN: Duration = Duration::from_secs(10);
/// How many versions before the active one are looked for that nobody has removed.
const SWEPT: u32 = 16;
/// How often it is looked whether the others' consumers stand still.
const STILL_EVERY: Duration = Duration::from_millis(50);

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

/// Ready when a version is being built, of this shape, that nobody has kept up to date for as long as a lease lasts: who began it is gone.
pub(super) async fn abandoned(control: &Store, row: &ProjectionRow, (reader, shape): (&str, u32)) {
    let (Some((version, building)), Some(owner)) = (row.building, control.backend().lease_owner()) else {
        return std::future::pending().await;
    };
    if building != shape {
        return std::future::pending().await;
    }
    let mut kept_at = Instant::now();
    while kept_at.elapsed() < lease::TTL {
        sleep(FOLLOW_EVERY).await;
        let kept: Result<bool, StoreError> = control
            .read(async |read: &mut Read| LeasedLanes::is_kept(read, reader, version, &owner).await)
            .await;
        if kept.unwrap_or(true) {
            kept_at = Instant::now();
        }
    }
}

impl Projection {
    /// Whether no other instance can decide anything.
    pub(super) fn is_alone(&self) -> bool {
        self.control.backend().one_owner()
    }

    /// Whether another instance has gone on to a version that can be read here, too.
    pub(super) fn has_gone_on(&self) -> bool {
        self.row.active != self.reads.0 && self.row.shape == self.spec.shape
    }

    /// Opens the version that another instance has gone on to; it is kept up to date here beside the one that is read, and read when it is
    /// as far.
    pub(super) async fn join(&mut self) {
        let version = self.row.active;
        match open_version(&self.spec, &self.stores, (version, self.spec.shape)).await {
            Ok(store) => {
                stop_running(&mut self.active).await;
                self.builds(version, store);
            }
            Err(error) => self.cannot_open(&error),
        }
    }

    /// A version is kept up to date here beside the one that is read.
    pub(super) fn builds(&mut self, version: u32, store: Store) {
        self.building = Some((version, store));
        self.open_again_at = None;
        self.says();
    }

    /// The next version cannot be opened now; the one that is read does not depend on it.
    pub(super) fn cannot_open(&mut self, error: &ProjectionError) {
        let reads = self.reads.0;
        warn!(
            projection.name = self.spec.name,
            "{}; trying it again in {OPEN_AGAIN:?}, version {reads} is read until then",
            Chain(error)
        );
        self.open_again_at = Some(Instant::now() + OPEN_AGAIN);
    }

    /// Tells other instances what is read here, and what may be next.
    fn says(&self) {
        let building = self.building.as_ref().map(|(version, _)| *version);
        if let Some(reading) = &self.reading {
            reading.keeps([Some(self.reads.0), building].into_iter().flatten().collect());
        }
    }

    /// Another instance has changed the row.
    pub(super) async fn noticed(&mut self, row: ProjectionRow) {
        if row.active != self.row.active && row.shape != self.spec.shape {
            warn!(
                projection.name = self.spec.name,
                "another program of the service has built version {} with another shape; this one goes on with version {}: end whichever is \
                 the older",
                row.active,
                self.reads.0
            );
        }
        self.row = row;
        self.tidy().await;
    }

    /// The same while version `number` is kept up to date beside the one that is read; whether it is to be given up.
    pub(super) async fn noticed_beside(&mut self, row: ProjectionRow, number: u32, store: &Store) -> bool {
        self.noticed(row).await;
        let goes_on = self.row.active == number || self.row.building == Some((number, self.spec.shape));
        if !goes_on {
            self.give_up(store).await;
        } else if self.row.flipping {
            // It is about to take over everywhere.
            stop_running(&mut self.active).await;
        }
        !goes_on
    }

    /// Readers get a version from now on.
    pub(super) async fn takes_over(&mut self, version: u32, store: Store) {
        let replaced = self.model.switch(store);
        self.previous = Some((self.reads.0, replaced));
        self.reads = (version, self.spec.shape);
        self.building = None;
        self.says();
        self.flips_refused = 0;
        self.wanted.take_if(|why| *why == Wanted::Shape);
        info!(projection.name = self.spec.name, version, "readers see the new version");
        self.tidy().await;
    }

    /// The version that was being built here is nobody's any more.
    pub(super) async fn give_up(&mut self, store: &Store) {
        self.building = None;
        self.says();
        store.close().await;
        info!(
            projection.name = self.spec.name,
            "another version is built instead; version {} is read until then", self.reads.0
        );
    }

    /// Closes the version that was read before, if it is not the one that is kept for the way back any more, and removes it if nobody else
    /// has.
    async fn tidy(&mut self) {
        let kept = self.row.previous.map(|(version, _)| version);
        let Some((version, store)) = self.previous.take_if(|(version, _)| Some(*version) != kept) else {
            return;
        };
        store.close().await;
        if self.is_alone() {
            return;
        }
        let name = self.spec.name;
        let removed = self.control.run(Class::Upkeep, async |tx: &mut Tx| {
            let row = held(tx, name).await?;
            let names = [
                Some(row.active),
                row.building.map(|(version, _)| version),
                row.previous.map(|(version, _)| version),
            ];
            if !names.contains(&Some(version)) {
                self.remove_unread(tx, version).await?;
            }
            Ok(row)
        });
        if let Err(left) = self.decided(removed.await, version) {
            warn!(
                projection.name = name,
                projection.version = version,
                "a version that nobody needs may be left behind: {}",
                Chain(&left)
            );
        }
    }

    /// The version that is read, as it is to be left.
    pub(super) fn old(&self) -> Old {
        Old { reader: self.reader(), version: self.reads.0, owner: self.control.backend().lease_owner() }
    }

    /// Ready when no other instance keeps the version that is read up to date.
    pub(super) async fn stands_still_everywhere(&self) -> Result<(), StoreError> {
        let old = self.old();
        if old.owner.is_none() {
            return Ok(());
        }
        loop {
            let still: Result<bool, StoreError> =
                self.control.read(async |read: &mut Read| old.stands_still(read).await).await;
            if still? {
                return Ok(());
            }
            sleep(STILL_EVERY).await;
        }
    }

    /// Removes what is in the way of a new version and writes down that it is being built, or finds that another instance was first.
    pub(super) async fn claim(&mut self) -> Result<(), ProjectionError> {
        if let Some((_, store)) = self.previous.take() {
            store.close().await;
        }
        let (reads, reader) = (self.reads.0, self.reader());
        let owner = self.control.backend().lease_owner().unwrap_or_default();
        let (name, shape, known) = (self.spec.name, self.spec.shape, self.row.active);
        let claimed = self.control.run(Class::Upkeep, async |tx: &mut Tx| {
            let row = held(tx, name).await?;
            let is_built = row.building.is_some_and(|(_, building)| building == shape);
            if row.active != known || is_built {
                return Ok(row);
            }
            let abandoned = row.building.map(|(version, _)| version);
            let version = abandoned.unwrap_or(row.active) + 1;
            for removed in abandoned.into_iter().chain([version]) {
                self.remove_unread(tx, removed).await?;
            }
            // What is read elsewhere is removed by who reads it, once it has gone on; and what is read here, when the new one is.
            for before in
                (row.active.saturating_sub(SWEPT).max(1)..row.active).filter(|version| *version != reads)
            {
                if !self.is_there(before).await.map_err(Left::Remove)? {
                    continue;
                }
                match self.remove_unread(tx, before).await {
                    Err(Left::Remove(left)) => {
                        info!(
                            projection.name = name,
                            projection.version = before,
                            "left for later: {}",
                            Chain(&left)
                        );
                    }
                    other => other?,
                }
            }
            if row.previous.is_some_and(|(version, _)| version != reads) {
                rows::forget_previous(tx, name).await?;
            }
            rows::build(tx, name, version, shape).await?;
            reading::keeps(tx, &reader, version, &owner).await?;
            held(tx, name).await
        });
        let row = self.decided(claimed.await, known + 1)?;
        self.noticed(row).await;
        Ok(())
    }

    /// Removes the version before, if its time is over for all.
    pub(super) async fn forget_among_others(&mut self) -> Result<(), ProjectionError> {
        let name = self.spec.name;
        let about = self.row.previous.map_or(self.row.active, |(version, _)| version);
        let forgotten = self.control.run(Class::Upkeep, async |tx: &mut Tx| {
            let row = held(tx, name).await?;
            let now = tx.now();
            let Some((version, _)) = row.previous.filter(|(_, until)| *until <= now) else { return Ok(row) };
            self.remove_unread(tx, version).await?;
            rows::forget_previous(tx, name).await?;
            held(tx, name).await
        });
        let row = self.decided(forgotten.await, about)?;
        self.noticed(row).await;
        Ok(())
    }

    /// Removes a version that no other instance reads or keeps up to date any more.
    async fn remove_unread(&self, tx: &mut Tx, version: u32) -> Result<(), Left> {
        let (reader, owner) = (self.reader(), self.control.backend().lease_owner().unwrap_or_default());
        if reading::is_read(tx, &reader, version, &owner).await?
            || LeasedLanes::may_be_kept(tx, &reader, version, &owner).await?
        {
            let why = "another instance of the service reads it or keeps it up to date";
            return Err(Left::Remove(self.not_now(version, StoreError::new(StoreErrorKind::Busy, why))));
        }
        self.remove(version).await.map_err(Left::Remove)
    }

    /// A version cannot be removed yet.
    fn not_now(&self, version: u32, source: StoreError) -> ProjectionError {
        let what = format!("version {version} of projection `{}`", self.spec.name);
        self.cannot_remove(version, OpenError::Other { what, source })
    }

    /// What was decided. Trouble that passes is one of removing version `about`: it is tried again.
    fn decided<P>(
        &self,
        outcome: Result<(ProjectionRow, P), TxFailed<Left>>,
        about: u32,
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
            self.not_now(about, source)
        } else {
            ProjectionError::Control { name: self.spec.name.to_owned(), source }
        })
    }
}

async fn held(tx: &mut Tx, name: &str) -> Result<ProjectionRow, Left> {
    let row = rows::hold(tx, name).await?;
    if tx.dialect() == Dialect::Postgres {
        // A schema may be removed meanwhile, on another connection.
        let sql = "SELECT set_config('idle_in_transaction_session_timeout', '60s', true)";
        let _: Vec<(String,)> = tx.query(sql, params![]).await?;
    }
    Ok(row)
}

impl From<StoreError> for Left {
    fn from(error: StoreError) -> Left {
        Left::Store(error)
    }
}
