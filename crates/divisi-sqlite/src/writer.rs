//! The one connection that writes, and what must be true of it between two members of a group.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_store::{
    Draft, Epoch, Position, Record, Row, StoreError, StoreErrorKind, Timestamp, ValueRef, failpoint,
};

use crate::connect;
use crate::epochs;
use crate::error::store_error;
use crate::link::{Limit, Link};
use crate::options::Options;
use crate::outbox::Ends;
use crate::same_file::SameFile;

mod deferred;
use deferred::Deferred;

/// From so many pages in the write-ahead log on (16 MiB) they are brought into the file. A full group writes a
/// thousand, and a checkpoint syncs too.
const CHECKPOINT_PAGES: i32 = 4_000;

/// The writer. Whoever has it is alone.
pub(crate) struct Writer {
    path: PathBuf,
    file: SameFile,
    source: ServiceName,
    options: Options,
    /// None after a commit of unknown outcome, until the file has been opened anew.
    open: Option<Open>,
    /// Why the group's transaction is gone. From then on no SQL runs until the group has ended: it would commit by
    /// itself.
    broken: Option<Broken>,
    /// Whether the ends of lanes are being moved: a panic meanwhile leaves them wrong.
    moving_ends: bool,
    /// Whether nobody has entered the transaction that is open, but those who left nothing in it.
    untouched: bool,
    /// Whether the member that runs has a savepoint. The first one needs none: what it did is all of the transaction.
    has_savepoint: bool,
}

/// How a group's transaction came to its end before its COMMIT.
struct Broken {
    /// What the member is told that did it.
    cause: StoreError,
    /// What the others are told.
    others: StoreError,
}

struct Open {
    link: Link,
    ends: Ends,
    deferred: Deferred,
    wal_pages: Arc<AtomicI32>,
    /// How long the write-ahead log was at the last checkpoint.
    checkpoint_at: i32,
}

impl Writer {
    /// A writer on a connection that has been migrated.
    pub(crate) fn new(
        path: PathBuf,
        source: ServiceName,
        options: Options,
        link: Link,
    ) -> rusqlite::Result<Writer> {
        let open = Open::new(link)?;
        let file = SameFile::named(&path).map_err(|_| rusqlite::Error::InvalidPath(path.clone()))?;
        Ok(Writer {
            path,
            file,
            source,
            options,
            open: Some(open),
            broken: None,
            moving_ends: false,
            untouched: false,
            has_savepoint: false,
        })
    }

    /// Opens the transaction that a group shares, on a new connection if the last one cannot be trusted.
    pub(crate) fn open_group(&mut self) -> Result<(), StoreError> {
        self.broken = None;
        self.moving_ends = false;
        // One look a group: an answer for what went to a file that nobody finds again would be a lie.
        if !self.file.is_at(&self.path).unwrap_or(false) {
            return Err(gone());
        }
        if self.open.is_none() {
            let limit = Arc::new(Limit::new(self.options.transaction_limit, self.options.inline));
            let open = connect::writer(&self.path, &self.options, limit, Duration::ZERO).and_then(Open::new);
            self.open = Some(open.map_err(store_error)?);
        }
        let open = self.open()?;
        // Left open by a rollback that failed, it must not become part of the next group.
        if !open.link.is_autocommit() {
            open.link.control("ROLLBACK").map_err(store_error)?;
        }
        open.link.control("BEGIN IMMEDIATE").map_err(store_error)?;
        self.untouched = true;
        Ok(())
    }

    /// Lets a member in, behind a savepoint where others were before it, and starts its clock.
    pub(crate) fn enter(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        self.has_savepoint = !std::mem::take(&mut self.untouched);
        let open = self.open()?;
        if self.has_savepoint {
            open.link.control("SAVEPOINT divisi_member").map_err(store_error)?;
        }
        open.link.limit().start();
        Ok(())
    }

    /// Runs a statement of a member.
    pub(crate) fn execute(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<u64, StoreError> {
        self.run(sql, |link| link.execute(sql, params))
    }

    /// Runs a query of a member.
    pub(crate) fn query(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<Vec<Row>, StoreError> {
        self.run(sql, |link| link.query(sql, params))
    }

    /// Opens a savepoint inside a member.
    pub(crate) fn savepoint(&mut self) -> Result<(), StoreError> {
        self.run("", |link| link.control("SAVEPOINT divisi_nested").map_err(store_error))
    }

    /// Ends the innermost savepoint.
    pub(crate) fn end_savepoint(&mut self, keep: bool) -> Result<(), StoreError> {
        self.alive()?;
        // Not under the limit: what must be undone must be undone.
        let link = &self.open()?.link;
        let ended = if keep { Ok(()) } else { link.control("ROLLBACK TO divisi_nested") }
            .and_then(|()| link.control("RELEASE divisi_nested"));
        self.notice(ended.map_err(store_error))
    }

    /// Numbers and appends a member's events, and makes it part of the group.
    pub(crate) fn keep(
        &mut self,
        drafts: Vec<Draft>,
        at: Timestamp,
        records: &mut Vec<Arc<Record>>,
    ) -> Result<Vec<Position>, StoreError> {
        self.alive()?;
        self.open()?.link.limit().check()?;
        self.moving_ends = true;
        let kept = self.number(drafts, at, records);
        self.moving_ends = false;
        let positions = kept?;
        failpoint::hit("group.inside");
        Ok(positions)
    }

    fn number(
        &mut self,
        drafts: Vec<Draft>,
        at: Timestamp,
        records: &mut Vec<Arc<Record>>,
    ) -> Result<Vec<Position>, StoreError> {
        injected("append.before")?;
        let first = records.len();
        let source = self.source.clone();
        let open = self.open_mut()?;
        open.link.limit().stop();
        let kept = open.ends.append(&open.link, &source, drafts, at, records);
        let positions = self.notice(kept)?;
        if let Err(error) = self.release() {
            if let Some(open) = &mut self.open {
                open.ends.undo(records.drain(first..));
            }
            return Err(error);
        }
        Ok(positions)
    }

    fn release(&mut self) -> Result<(), StoreError> {
        injected("append.after")?;
        let open = self.open()?;
        if open.deferred.is_broken(&open.link).map_err(store_error)? {
            return Err(StoreError::new(
                StoreErrorKind::Constraint,
                "a deferred foreign key points to a row that does not exist",
            ));
        }
        if !self.has_savepoint {
            return Ok(());
        }
        let released = open.link.control("RELEASE divisi_member").map_err(store_error);
        self.notice(released)
    }

    /// Undoes a member.
    pub(crate) fn undo(&mut self) {
        let Some(open) = &self.open else { return };
        open.link.limit().stop();
        if std::mem::take(&mut self.moving_ends) && self.broken.is_none() {
            // The rows could be taken back and the ends not, which would leave a hole: the whole group goes.
            self.broken = Some(Broken::by(panicked()));
        }
        if self.broken.is_some() {
            return;
        }
        let [first, second] = match self.has_savepoint {
            true => ["ROLLBACK TO divisi_member", "RELEASE divisi_member"],
            // The next one comes first again.
            false => ["ROLLBACK", "BEGIN IMMEDIATE"],
        };
        self.untouched = !self.has_savepoint;
        let undone = open.link.control(first).and_then(|()| open.link.control(second));
        if let Err(error) = undone {
            // What cannot be undone must not be committed with the others.
            self.broken = Some(Broken::by(store_error(error)));
        }
    }

    /// What ended the group's transaction, if it is gone. Nobody enters after that, so whoever has the writer did it.
    pub(crate) fn broken(&self) -> Option<&StoreError> {
        self.broken.as_ref().map(|broken| &broken.cause)
    }

    /// Commits the group.
    pub(crate) fn commit(&mut self) -> Result<(), CommitFailed> {
        if let Some(broken) = &self.broken {
            return Err(CommitFailed::Undone(broken.others.clone()));
        }
        if failpoint::hit("commit.before") {
            return Err(CommitFailed::Undone(injected_error()));
        }
        let Some(open) = &self.open else { return Err(CommitFailed::Undone(lost())) };
        open.link.limit().stop();
        if failpoint::hit("commit.during") {
            // What a failed sync looks like: on the disk perhaps, and this connection cannot tell.
            return Err(CommitFailed::Unknown(StoreError::new(
                StoreErrorKind::Io,
                "the disk could not be written",
            )));
        }
        let Err(error) = open.link.control("COMMIT") else { return Ok(()) };
        let still_open = !open.link.is_autocommit();
        let error = store_error(error);
        match error.kind {
            StoreErrorKind::Constraint | StoreErrorKind::Full => Err(CommitFailed::Undone(error)),
            _ if still_open => Err(CommitFailed::Undone(error)),
            _ => Err(CommitFailed::Unknown(error)),
        }
    }

    /// Ends a group that was not committed. The ends of lanes are read again.
    pub(crate) fn undo_group(&mut self) {
        self.broken = None;
        let Some(open) = &mut self.open else { return };
        open.link.limit().stop();
        let undone = if open.link.is_autocommit() { Ok(()) } else { open.link.control("ROLLBACK") };
        let reloaded = undone.and_then(|()| open.link.as_ours(Ends::load));
        match reloaded {
            Ok(ends) => open.ends = ends,
            // A connection that cannot even roll back is given up; closing it rolls back.
            Err(error) => {
                tracing::warn!(error = %error, "the writer cannot roll back and is opened anew");
                self.open = None;
            }
        }
    }

    /// Ends a group in which nothing was kept, at no cost.
    pub(crate) fn undo_nothing(&mut self) {
        let Some(open) = &self.open else { return };
        if self.broken.is_some() || open.link.control("ROLLBACK").is_err() {
            self.undo_group();
        }
    }

    /// Closes the connection: nothing that it knows can be trusted. The next group opens another.
    pub(crate) fn give_up(&mut self) {
        self.open = None;
        self.broken = None;
    }

    /// Begins an epoch above `above`, as a member of the group that is open.
    pub(crate) fn begin_epoch(&mut self, above: Epoch, now: Timestamp) -> Result<Epoch, StoreError> {
        self.alive()?;
        let kept = self.options.epochs_kept;
        let open = self.open()?;
        let begun =
            open.link.as_ours(|connection| epochs::begin(connection, above, now, kept)).map_err(store_error);
        let epoch = self.notice(begun)?;
        self.moving_ends = true;
        let before = self.open_mut()?.ends.enter(epoch);
        let released = self.release();
        self.moving_ends = false;
        if let Err(error) = released {
            self.open_mut()?.ends.enter(before);
            return Err(error);
        }
        Ok(epoch)
    }

    /// Brings what is left of the write-ahead log into the file. No group is open.
    pub(crate) fn checkpoint(&mut self) {
        let Some(open) = &mut self.open else { return };
        if let Err(error) = open.link.control("PRAGMA wal_checkpoint(PASSIVE)") {
            tracing::warn!(error = %error, "the write-ahead log could not be brought into the file, it grows");
        }
        open.checkpoint_at = open.wal_pages.load(Ordering::Relaxed);
    }

    /// Pages in the write-ahead log after the last commit.
    pub(crate) fn wal_pages(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.wal_pages.load(Ordering::Relaxed).unsigned_abs().into())
    }

    /// Whether the write-ahead log has grown so much since the last checkpoint that one is due.
    pub(crate) fn checkpoint_due(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let pages = open.wal_pages.load(Ordering::Relaxed);
            // One that is shorter than it was has begun anew. While somebody reads it cannot, and grows on.
            let before = if pages < open.checkpoint_at { 0 } else { open.checkpoint_at };
            pages - before >= CHECKPOINT_PAGES
        })
    }

    fn run<T>(
        &mut self,
        sql: &str,
        statement: impl FnOnce(&Link) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.alive()?;
        let open = self.open_mut()?;
        open.link.limit().check()?;
        if open.link.facts(sql).defers {
            open.deferred.comes();
        }
        let done = statement(&open.link);
        self.notice(done)
    }

    /// Looks after a statement that failed whether it took the group's transaction with it.
    fn notice<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &done
            && self.broken.is_none()
            && self.open.as_ref().is_none_or(|open| open.link.is_autocommit())
        {
            self.broken = Some(Broken::by(error.clone()));
        }
        done
    }

    /// Refuses all SQL once the group's transaction is gone.
    fn alive(&mut self) -> Result<(), StoreError> {
        if self.broken.is_none() && self.open.as_ref().is_none_or(|open| open.link.is_autocommit()) {
            self.broken = Some(Broken::by(StoreError::new(
                StoreErrorKind::GroupBroken,
                "the transaction was ended from within",
            )));
        }
        self.broken.as_ref().map_or(Ok(()), |broken| Err(broken.others.clone()))
    }

    fn open(&self) -> Result<&Open, StoreError> {
        self.open.as_ref().ok_or_else(lost)
    }

    fn open_mut(&mut self) -> Result<&mut Open, StoreError> {
        self.open.as_mut().ok_or_else(lost)
    }
}

/// Why a group was not committed.
#[derive(Debug, Clone)]
pub(crate) enum CommitFailed {
    /// It is certain that nothing of it happened.
    Undone(StoreError),
    /// It may be in the file after all.
    Unknown(StoreError),
}

impl Open {
    fn new(mut link: Link) -> rusqlite::Result<Open> {
        let wal_pages = Arc::new(AtomicI32::new(0));
        let pages = Arc::clone(&wal_pages);
        link.after_commit(move |n| pages.store(n, Ordering::Relaxed))?;
        let ends = link.as_ours(Ends::load)?;
        let deferred = Deferred::new(&link)?;
        // The gate waits, without a thread.
        link.waits_for_nobody()?;
        Ok(Open { link, ends, deferred, wal_pages, checkpoint_at: 0 })
    }
}

impl Broken {
    fn by(cause: StoreError) -> Broken {
        let others = StoreError::new(
            StoreErrorKind::GroupBroken,
            "the transaction that this one shared a commit with ended early, and both were undone; try again",
        )
        .with_source(cause.clone());
        Broken { cause, others }
    }
}

fn lost() -> StoreError {
    StoreError::new(StoreErrorKind::Io, "the database could not be opened again after a failed commit")
}

fn gone() -> StoreError {
    StoreError::new(
        StoreErrorKind::Io,
        "the database's file was removed or replaced while it was in use, so nothing is written to it; stop the service, put the right file there and start it again",
    )
}

fn panicked() -> StoreError {
    StoreError::new(StoreErrorKind::Other, "the numbering of a transaction's events panicked")
}

fn injected(name: &str) -> Result<(), StoreError> {
    if failpoint::hit(name) { Err(injected_error()) } else { Ok(()) }
}

fn injected_error() -> StoreError {
    StoreError::new(StoreErrorKind::Other, "a failpoint")
}
