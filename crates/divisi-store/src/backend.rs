//! The seam that SQLite and PostgreSQL implement.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use divisi_contract::ServiceName;

use crate::BoxFuture;
use crate::clock::Clock;
use crate::epoch::Epoch;
use crate::error::{OpenError, StoreError, StoreErrorKind};
use crate::migration::Schema;
use crate::outbox::{Page, PageWanted};
use crate::record::{Committed, Draft, Position};
use crate::store::Store;
use crate::value::{Row, ValueRef};

/// The SQL that a database speaks, where shared statements must differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// Who begins a transaction; on SQLite calls go before consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A call that somebody waits for.
    Call,
    /// A consumer's batch, with the service's own handlers.
    Consumer,
    /// The framework's own rows, and none of the service's: leases, cursors, epochs, retention. On SQLite it counts among consumers; no
    /// service makes it stricter.
    Upkeep,
}

/// How strictly the transactions of a service are kept apart, where several run at the same time: those of its calls and of its
/// handlers. SQLite has one writer, and is always as strict as can be. A read ([`Store::read`](crate::Store::read)) sees one state in any
/// case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what was committed before it; rows that are changed are locked.
    #[default]
    ReadCommitted,
    /// All statements see one state; who changes a row that somebody else has changed since is undone.
    RepeatableRead,
    /// As if one ran after the other; who cannot be put into an order is undone.
    Serializable,
}

impl Isolation {
    /// Whether a transaction's snapshot is older than its locks.
    pub fn is_strict(self) -> bool {
        self != Isolation::ReadCommitted
    }
}

/// Which database of a service is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreName {
    /// The service.
    pub service: ServiceName,
    /// One of its projections, with a version; none for the service's own store.
    pub projection: Option<(String, u32)>,
}

/// Opens the databases of services: one technology, brought by the app.
pub trait Stores: Send + Sync + 'static {
    /// Opens a database, creates it if there is none, and brings it to `schema`. It begins a new epoch where the
    /// technology asks for one at each start.
    fn open<'a>(&'a self, name: &'a StoreName, schema: &'a Schema)
    -> BoxFuture<'a, Result<Store, OpenError>>;

    /// Whether a database is there, so that a look at it need not make one. A technology that cannot tell says yes.
    fn exists<'a>(&'a self, _name: &'a StoreName) -> BoxFuture<'a, Result<bool, OpenError>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    /// Removes a projection's database for good. The caller has closed it.
    fn remove<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<(), OpenError>>;

    /// Copies the databases of `services`, those of their projections with them, into the directory `to`, from where they can be opened.
    /// They may be in use meanwhile; the copies are of one and the same moment, so none has heard of an event that another has not
    /// announced. A technology that has backups of its own copies nothing.
    fn back_up<'a>(
        &'a self,
        services: &'a [ServiceName],
        _to: &'a Path,
    ) -> BoxFuture<'a, Result<BackedUp, OpenError>> {
        let elsewhere = services.to_vec();
        Box::pin(std::future::ready(Ok(BackedUp { elsewhere, ..BackedUp::default() })))
    }
}

/// What came of a backup.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Each copy, with its size in bytes.
    pub copies: Vec<(PathBuf, u64)>,
    /// The services whose data the technology backs up by means of its own.
    pub elsewhere: Vec<ServiceName>,
}

/// What a back end has done since it was opened, and who waits in it, for whoever watches it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Transactions that were committed.
    pub transactions: u64,
    /// COMMITs that made them so; fewer than transactions where several share one, and its sync.
    pub commits: u64,
    /// Transactions, of calls and of consumers, that wait for another one now: for the only writer, or for a lock of the whole database, whichever
    /// process they are of. None where it is told with the service's own schema, or where too much waits to ask.
    pub waiting: Option<u64>,
    /// Bytes of the write-ahead log, where the database has one of its own.
    pub wal_bytes: Option<u64>,
}

/// One database. Everything above it is shared; a back end implements this and nothing else.
pub trait Backend: Send + Sync + 'static {
    /// The SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// Whether a transaction may wait: `false` means that its closure must run to its end within one poll.
    fn suspends(&self) -> bool;

    /// How many transactions of consumers it has under way at once; more of them wait for each other. None where they do not: those that
    /// wait together commit together.
    fn consumers_max(&self) -> Option<usize> {
        None
    }

    /// Whether this process alone writes the database. Elsewhere a reader of a later epoch is not answered, and the
    /// listener is told of what others commit by [`Committed::grew`].
    fn one_owner(&self) -> bool {
        true
    }

    /// Under which name this process holds [leases](crate::lease) of this database, another one at each start; `None` where one process
    /// owns the database and everything is granted.
    fn lease_owner(&self) -> Option<String> {
        None
    }

    /// Its clock.
    fn clock(&self) -> Clock;

    /// Begins a transaction that may write. Ready only when it is this one's turn. The session rolls back when it
    /// is dropped.
    fn begin(&self, class: Class) -> BoxFuture<'_, Result<Box<dyn Session>, StoreError>>;

    /// Begins a read: one snapshot; what writes fails.
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Session>, StoreError>>;

    /// Reads a page of the log, with heads, floors and epochs of the same snapshot, off the async threads. Back ends
    /// call [`outbox::read_page`](crate::outbox::read_page).
    fn page(&self, wanted: PageWanted) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// Begins a new epoch above `above` and the stored one. The listener is told to forget.
    fn begin_epoch(&self, above: Epoch) -> BoxFuture<'_, Result<Epoch, StoreError>>;

    /// Who is told of commits; the last one set counts.
    fn listen(&self, listener: Arc<dyn Committed>);

    /// What it has done and who waits in it. It costs a question to the database at the most, and asks none while all connections
    /// are in use.
    fn activity(&self) -> BoxFuture<'_, Activity>;

    /// Takes no more work, ends what is running, closes the database. Idempotent.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A statement that brings rows, and its parameters.
pub type Question<'a> = (&'a str, &'a [ValueRef<'a>]);
/// The rows of two questions.
pub type TwoAnswers = (Vec<Row>, Vec<Row>);

/// One open transaction, or one snapshot.
///
/// Where [`Backend::suspends`] is `false`, every future of it is ready at once, except those of `commit` and
/// `roll_back`, which give the writer back in their first poll.
pub trait Session: Send {
    /// Runs a statement that brings no rows; how many rows it changed.
    fn execute<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Runs a statement that brings rows.
    fn query<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// Runs two statements of the framework that bring rows, one after the other; to a server both go at once.
    fn query_two<'a>(
        &'a mut self,
        first: Question<'a>,
        second: Question<'a>,
    ) -> BoxFuture<'a, Result<TwoAnswers, StoreError>> {
        Box::pin(async move {
            let first = self.query(first.0, first.1).await?;
            Ok((first, self.query(second.0, second.1).await?))
        })
    }

    /// Runs a statement whose count of rows nobody asks for, now or together with the next statement that is waited for, or with COMMIT:
    /// in its order. That it failed may show there, and then the transaction commits nothing. With `one_row` it must change one row, which
    /// the transaction holds locked.
    fn send<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
        one_row: bool,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let n_rows = self.execute(sql, params).await?;
            rows_of_sent(n_rows, one_row)
        })
    }

    /// Opens a savepoint inside the transaction.
    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends the innermost savepoint: keeps what was done since, or undoes it.
    fn end_savepoint(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whether a call waits because of this transaction, or may: one of [`Class::Consumer`] then ends soon, with what it has
    /// done so far. It costs next to nothing to ask. A database where writers wait for rows only says whether calls are under
    /// way.
    fn is_awaited(&self) -> bool {
        false
    }

    /// Ends the transaction well: numbers and appends `drafts` to the log in one step, commits, and brings their
    /// positions in order. Nothing of it is visible before it is durable.
    fn commit(self: Box<Self>, drafts: Vec<Draft>) -> BoxFuture<'static, Result<Vec<Position>, CommitError>>;

    /// Undoes everything. It answers when what the transaction has seen is durable. An error says whether something may be left of it.
    fn roll_back(self: Box<Self>) -> BoxFuture<'static, Result<(), CommitError>>;
}

/// Why a commit brought no positions.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// All of it was undone; it may be tried again.
    #[error("the transaction did not happen")]
    DidNotHappen(#[source] StoreError),
    /// It may be in the database after all.
    #[error("it is not known whether the transaction happened")]
    MayHaveHappened(#[source] StoreError),
}

/// What [`Session::send`] makes of the number of rows that it changed.
pub fn rows_of_sent(n_rows: u64, one_row: bool) -> Result<(), StoreError> {
    if one_row && n_rows != 1 { Err(not_one_row()) } else { Ok(()) }
}

/// The error that a statement which must change one row did not.
pub fn not_one_row() -> StoreError {
    let message = "a row that the transaction had locked is gone, or something keeps it from being changed";
    StoreError::new(StoreErrorKind::Corrupt, message)
}

impl StoreName {
    /// A service's own store.
    pub fn of(service: impl Into<ServiceName>) -> StoreName {
        StoreName { service: service.into(), projection: None }
    }

    /// The store of version `version` of a projection.
    pub fn projection(service: impl Into<ServiceName>, name: &str, version: u32) -> StoreName {
        StoreName { service: service.into(), projection: Some((name.to_owned(), version)) }
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.projection {
            None => write!(f, "{}", self.service),
            Some((name, version)) => write!(f, "{}.{name}.v{version}", self.service),
        }
    }
}
