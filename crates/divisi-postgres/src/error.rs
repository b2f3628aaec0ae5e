//! What PostgreSQL says, as an error of the store.

use divisi_store::{OpenError, StoreError, StoreErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::later::OfEarlier;

/// `divisi_append`: this is another life of the database than the stored one.
pub(crate) const OTHER_LIFE: &str = "DV001";
/// `divisi_append`: the isolation level is not READ COMMITTED.
const ISOLATION: &str = "DV002";
/// `divisi_append`: a topic was not declared.
const TOPIC: &str = "DV003";
/// `divisi_append` and `divisi_stage`: another process has the service the other way.
const OTHER_WAY: &str = "DV004";

/// A parameter that its statement does not take.
pub(crate) const UNFIT: &str = "a value has a type that its column does not take";

/// Says what kind of trouble `error` is. The driver's own words stay in the chain, and no password is among them.
pub(crate) fn store_error(error: Error) -> StoreError {
    let (kind, sentence) = match error.as_db_error() {
        Some(db) => of_database(db),
        None if is_lost(&error) => (StoreErrorKind::Busy, "the connection to the database was lost"),
        None => (StoreErrorKind::Type, UNFIT),
    };
    StoreError::new(kind, sentence).with_source(error)
}

/// Whether the connection is gone: what was sent may have been done.
pub(crate) fn is_lost(error: &Error) -> bool {
    if let Some(db) = error.as_db_error() {
        return is_fatal(db);
    }
    // The driver says `closed`, or passes on what the socket said; values that do not fit have another source.
    let is_io = |source: &(dyn std::error::Error + 'static)| source.is::<std::io::Error>();
    error.is_closed() || std::error::Error::source(error).is_some_and(is_io)
}

/// Whether the server ended the session with these words, not the statement alone.
pub(crate) fn is_fatal(error: &DbError) -> bool {
    match error.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        None => matches!(error.severity(), "FATAL" | "PANIC"),
    }
}

/// Whether the statement's plan is of tables that have another shape now: prepared anew it works.
pub(crate) fn is_stale_plan(error: &Error) -> bool {
    error.as_db_error().is_some_and(|db| {
        *db.code() == SqlState::INVALID_SQL_STATEMENT_NAME
            || (*db.code() == SqlState::FEATURE_NOT_SUPPORTED && db.message().contains("cached plan"))
    })
}

fn of_database(error: &DbError) -> (StoreErrorKind, &'static str) {
    let code = error.code();
    match code.code() {
        OTHER_LIFE => (StoreErrorKind::Conflict, "the database began a new epoch"),
        ISOLATION => (
            StoreErrorKind::Statement,
            "events are numbered in READ COMMITTED alone; a transaction's isolation level is not for its closure to change",
        ),
        TOPIC => (StoreErrorKind::Event, "a topic was not declared when the store was opened"),
        OTHER_WAY => (
            StoreErrorKind::Statement,
            "the service was started elsewhere with another `isolation`, and the database went over to that: end this process, which is of another version",
        ),
        "40001" | "40P01" => (StoreErrorKind::Conflict, "a race with another transaction was lost"),
        "55P03" => (StoreErrorKind::Busy, "somebody else holds a lock for too long"),
        "57014" => (StoreErrorKind::TooLong, "a statement took longer than its limit"),
        "25P03" | "25P04" => (StoreErrorKind::TooLong, "the transaction took longer than its limit"),
        "25P02" => (
            StoreErrorKind::Statement,
            "a statement of this transaction failed before, which undoes all of it: put what may fail into `tx.nested`",
        ),
        "25006" => (
            StoreErrorKind::Busy,
            "the database is read-only: it is a standby, or this is a read; write to the primary, in `transact`",
        ),
        "55000" if error.message().contains("recovery") => (
            StoreErrorKind::Busy,
            "the database is a standby; it may be promoted, or the address be corrected",
        ),
        "53100" => (StoreErrorKind::Full, "no room on the database's disk"),
        "53200" | "53300" | "53400" => {
            (StoreErrorKind::Busy, "the database is at a limit: connections, memory or locks")
        }
        "26000" => (StoreErrorKind::Conflict, "a prepared statement is gone"),
        "0A000" if error.message().contains("cached plan") => {
            (StoreErrorKind::Conflict, "a table has another shape now")
        }
        "42501" => (StoreErrorKind::Statement, "the service's role may not do this: grant it"),
        "XX001" | "XX002" => (StoreErrorKind::Corrupt, "the database is damaged"),
        other => match other.get(..2) {
            Some("08" | "57") => (StoreErrorKind::Busy, "the database is not reachable, or goes down"),
            Some("40") => (StoreErrorKind::Conflict, "a race with another transaction was lost"),
            Some("23") => (StoreErrorKind::Constraint, "a constraint of a table was broken"),
            Some("22") => (StoreErrorKind::Type, UNFIT),
            Some("42" | "0A" | "25" | "2D" | "3F" | "3D") => {
                (StoreErrorKind::Statement, "the statement is wrong")
            }
            Some("58") => (StoreErrorKind::Io, "the database's disk could not be read or written"),
            _ => (StoreErrorKind::Other, "the database failed"),
        },
    }
}

/// The database's code for what failed, if it was the database that said so.
pub(crate) fn code(error: &StoreError) -> Option<&str> {
    Some(driver(error)?.as_db_error()?.code().code())
}

fn driver(error: &StoreError) -> Option<&Error> {
    let source = error.source.as_ref()?;
    let earlier = source.downcast_ref::<OfEarlier>().map(|of| of.source.downcast_ref());
    earlier.unwrap_or_else(|| source.downcast_ref())
}

/// Why a database could not be opened, with what to do. `what` names database, host and port.
pub(crate) fn open_error(what: &str, error: StoreError) -> OpenError {
    let todo = match code(&error) {
        Some("28P01" | "28000") => {
            "the server refuses the name or the password; correct the service's URL, or the role on the server"
        }
        Some("3D000") => {
            "there is no such database; make it, with the service's role as its owner, or allow `create_databases`"
        }
        Some("42501") => {
            "the role may not do what is needed; it must own its database, or be granted CREATE on it and EXECUTE on pg_control_system()"
        }
        Some("53300") => {
            "the server has no connection left; raise its `max_connections`, or lower `connections_max` here"
        }
        Some("53100") => "the server's disk is full; make room",
        Some("57P03") => "the server is starting, stopping or recovering; try again when it is up",
        Some("25006") => "the server is read-only: a standby; give the primary's address",
        Some("55000") => "the server is a standby; give the primary's address, or promote it",
        Some(_) => "the server says no",
        None if driver(&error).is_some_and(|error| error.to_string().contains("TLS")) => {
            "no TLS with the server: look at its `ssl` setting and its certificate, at `root_certificates` here, or say `sslmode=disable` on a network that is trusted"
        }
        None => "nobody answers there; start the server, or correct the address",
    };
    OpenError::Server { what: what.to_owned(), todo: todo.to_owned(), source: error }
}
