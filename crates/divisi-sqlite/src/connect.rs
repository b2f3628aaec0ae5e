//! Opening a file: settings, and why each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use divisi_store::{OpenError, StoreErrorKind, failpoint};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ffi};

use crate::error::store_error;
use crate::link::{Limit, Link};
use crate::options::{Options, Synchronous};

/// The oldest SQLite that is accepted: those before could lose a write-ahead log that was reset while it was read.
const VERSION_MIN: i32 = 3_051_003;

/// How long somebody waits for a lock. Only a backup or a command line tool can hold one.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// Refuses a SQLite that is too old.
pub(crate) fn check_version() -> Result<(), OpenError> {
    if rusqlite::version_number() < VERSION_MIN {
        return Err(OpenError::TooOld {
            what: "SQLite".to_owned(),
            found: rusqlite::version().to_owned(),
            needed: "3.51.3".to_owned(),
        });
    }
    Ok(())
}

/// The connection that writes; `busy` says how long it waits for a lock while it is opened.
pub(crate) fn writer(
    path: &Path,
    options: &Options,
    limit: Arc<Limit>,
    busy: Duration,
) -> rusqlite::Result<Link> {
    let connection = open(path, options)?;
    connection.busy_timeout(if options.inline { Duration::ZERO } else { busy })?;
    // What is not ours stays as it is, its write-ahead log too.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let is_new = is_ours(&connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    if is_new {
        // Freed pages are used again; this lets them be given back too, in steps. It must be chosen before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(no_write_ahead_log(&mode));
    }
    // A write-ahead log that a long read let grow shrinks to this when it is reset.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    // Checkpoints are made between groups, not inside somebody's COMMIT.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    if let Some(pages) = options.pages_max {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Link::new(connection, limit)
}

/// A connection that reads.
pub(crate) fn reader(path: &Path, options: &Options) -> rusqlite::Result<Link> {
    let connection = open(path, options)?;
    connection.pragma_update(None, "query_only", true)?;
    Link::new(connection, Arc::new(Limit::new(options.transaction_limit, options.inline)))
}

/// A connection beside the writer, for what needs no guards.
pub(crate) fn beside(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    open(path, options)
}

fn open(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        // A connection is used by one thread at a time, by construction.
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(if options.inline { Duration::ZERO } else { BUSY })?;
    // A statement is planned once and not again for each value: a bound LIMIT would have it prepared at every use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "synchronous", synchronous(options).as_sql())?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A read error of mapped memory would be a signal instead of an error.
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// Refuses a database that something else has made, before anything in it is changed; whether it is empty.
pub(crate) fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let first = "SELECT name, EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'divisi_migration') FROM sqlite_schema \
                 WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' LIMIT 1";
    let first: Option<(String, bool)> =
        connection.query_row(first, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let theirs = match first {
        None => return Ok(true),
        Some((_, true)) => return Ok(false),
        Some((name, false)) => name,
    };
    let words = format!(
        "it is a database of something else (it has `{theirs}`, and nothing of Divisi's); move it away, or use another directory"
    );
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), Some(words)))
}

/// SQLite goes on without one where it cannot have it, and syncs and readers would be others than promised.
fn no_write_ahead_log(mode: &str) -> rusqlite::Error {
    let words =
        format!("the file system does not allow a write-ahead log (the journal mode stayed `{mode}`)");
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), Some(words))
}

/// What a commit waits for. A control of a power cut test leaves syncs out: nobody else can.
fn synchronous(options: &Options) -> Synchronous {
    if failpoint::hit("synchronous.off") {
        return Synchronous::Off;
    }
    if failpoint::hit("synchronous.normal") {
        return Synchronous::Normal;
    }
    options.synchronous
}

/// Says in words why `path` could not be opened.
pub(crate) fn open_error(path: &Path, error: rusqlite::Error) -> OpenError {
    let what = path.display().to_string();
    let read_only = error.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly)
        || error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen);
    if read_only {
        return OpenError::Place { what, source: std::io::Error::other(error) };
    }
    let source = store_error(error);
    match source.kind {
        StoreErrorKind::Corrupt => OpenError::Damaged { what, source },
        _ => OpenError::Other { what, source },
    }
}
