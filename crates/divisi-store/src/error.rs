//! Why a store could not do what it was asked.

use std::sync::Arc;

use divisi_contract::{CallError, Cause, CauseKind};

/// Why a statement or a transaction failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What kind of trouble it was.
    pub kind: StoreErrorKind,
    /// The sentence for people.
    pub message: String,
    /// What the database's driver said.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of trouble that a store can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The database is busy, locked or not reachable: the same may work later.
    Busy,
    /// A race with another transaction was lost; try again.
    Conflict,
    /// The transaction that this one shared a commit with ended early; try again.
    GroupBroken,
    /// No room on the disk.
    Full,
    /// A unique, foreign, check or not-null constraint was broken.
    Constraint,
    /// The statement is wrong: syntax, a missing table, a type.
    Statement,
    /// The statement is not allowed in a service: transaction control, ATTACH, PRAGMA, ROLLBACK clauses.
    Forbidden,
    /// A column has another type than was asked for.
    Type,
    /// The transaction took longer than its limit.
    TooLong,
    /// The closure waited for something other than the database.
    Waited,
    /// A `transact` inside a `transact`.
    Nested,
    /// An event is larger than its limit, or its topic is not this service's.
    Event,
    /// Reading or writing the disk failed.
    Io,
    /// The file is damaged.
    Corrupt,
    /// The store has been closed.
    Closed,
    /// Anything else.
    Other,
}

/// Why a store could not be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("{what} is in use by {owner}; stop it first, or give this one a directory of its own")]
    InUse {
        /// The file.
        what: String,
        /// Who: process id and address.
        owner: String,
    },
    /// Its service has moved elsewhere.
    #[error(
        "{what} was moved to {to}; set `services.{service}.store` to that address, or take the move back with `move {service} --back`"
    )]
    Moved {
        /// The file.
        what: String,
        /// Where it was moved.
        to: String,
        /// Whose it is.
        service: String,
    },
    /// Its service is on the way here, and may be elsewhere still.
    #[error(
        "{what} holds `{service}` as an unfinished move has left it; run the same `move {service}` again, or take it back with `--back`"
    )]
    Unfinished {
        /// The database.
        what: String,
        /// Whose it is to be.
        service: String,
    },
    /// The place cannot be written.
    #[error("cannot use {what}")]
    Place {
        /// The file or directory.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The place is not one that a database may live in.
    #[error("{what} is on {kind}, where a SQLite database may be damaged; use a local disk")]
    Network {
        /// The file or directory.
        what: String,
        /// The kind of file system.
        kind: String,
    },
    /// The file is damaged, or no database.
    #[error("{what} is damaged or not a database; restore it from a backup, or move it away to begin anew")]
    Damaged {
        /// The file.
        what: String,
        /// What the database says.
        source: StoreError,
    },
    /// The file belongs to something else.
    #[error("{what} belongs to the service `{found}`, not to `{expected}`")]
    Foreign {
        /// The file.
        what: String,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A migration that was applied has another text now, or is missing.
    #[error(
        "migration {version} of {what} was applied with another text; migrations never change, add a new one"
    )]
    Changed {
        /// The database.
        what: String,
        /// The migration.
        version: u32,
    },
    /// The database knows migrations that this program does not.
    #[error(
        "{what} was written by a newer version: it has migration {found}, this program knows up to {known}"
    )]
    Newer {
        /// The database.
        what: String,
        /// The newest applied.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// A migration failed; nothing of it was applied.
    #[error("migration {version} of {what} failed and was rolled back")]
    Migration {
        /// The database.
        what: String,
        /// The migration.
        version: u32,
        /// Why.
        source: StoreError,
    },
    /// A topic was declared with another number of lanes before.
    #[error(
        "topic `{topic}` has {found} lanes, not {wanted}: lanes never change; start a new version of the topic"
    )]
    Lanes {
        /// The topic.
        topic: String,
        /// What the database says.
        found: i64,
        /// What was asked.
        wanted: i64,
    },
    /// The database is too old.
    #[error("{what} is version {found}; at least {needed} is needed: older ones can corrupt the log")]
    TooOld {
        /// The database software.
        what: String,
        /// Its version.
        found: String,
        /// The least that is accepted.
        needed: String,
    },
    /// The database server cannot be used as it is.
    #[error("cannot use {what}: {todo}")]
    Server {
        /// The database, with host and port.
        what: String,
        /// What is wrong, and what to do about it.
        todo: String,
        /// What it says.
        source: StoreError,
    },
    /// Something else failed.
    #[error("cannot open {what}")]
    Other {
        /// The database.
        what: String,
        /// Why.
        source: StoreError,
    },
}

impl StoreError {
    /// An error of `kind` with its sentence.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
        StoreError { kind, message: message.into(), source: None }
    }

    /// The same with what the driver said.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        self.source = Some(Arc::new(source));
        self
    }

    /// Whether the same may work a little later, without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Busy
                | StoreErrorKind::Conflict
                | StoreErrorKind::GroupBroken
                | StoreErrorKind::Full
                | StoreErrorKind::Io
        )
    }

    /// The cause that a caller sees. The driver's words stay in the service's own log.
    pub fn cause(&self) -> Cause {
        let kind = match self.kind {
            StoreErrorKind::Conflict | StoreErrorKind::GroupBroken => CauseKind::Conflict,
            StoreErrorKind::TooLong => CauseKind::TransactionTooLong,
            StoreErrorKind::Waited | StoreErrorKind::Nested => CauseKind::WaitedInTransaction,
            StoreErrorKind::Event => CauseKind::TooLarge,
            _ => CauseKind::Store,
        };
        Cause::new(kind, self.message.clone())
    }
}

/// An error inside a transaction or a read: all of it is rolled back, so nothing ran.
impl<R> From<StoreError> for CallError<R> {
    fn from(error: StoreError) -> CallError<R> {
        CallError::NotRun(error.cause())
    }
}
