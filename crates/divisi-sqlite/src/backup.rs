//! Copies of databases that are in use, all as they were at one moment.
//!
//! Nobody commits anywhere while a snapshot of each database is opened: some milliseconds, for which writers wait. So what one service has
//! heard of another, the other's copy has announced, in whatever circles they listen. Then writers go on beside the copying, and a
//! write-ahead log grows until the last copy is made. (The three files of a database that is in use, copied one after the other, would be
//! of several moments, and no database.)

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use divisi_contract::ServiceName;
use divisi_store::{OpenError, StoreError, StoreErrorKind, StoreName, failpoint};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;

use crate::backend::Sqlite;
use crate::connect;
use crate::leaving;
use crate::moved;
use crate::options::Options;
use crate::owner::Owner;
use crate::place::sync_directory;

/// How often it is tried to take the place of a writer: between two groups there are some hundred microseconds.
const TRY_EVERY: Duration = Duration::from_micros(100);
/// How long all of them may be waited for. Those that are held meanwhile keep writers waiting, who would be told after five seconds.
const HOLD_MAX: Duration = Duration::from_secs(3);
/// Every page at once: a snapshot holds up nobody.
const ALL_PAGES: i32 = -1;

/// A database that nobody else writes, as long as this lives.
struct Held {
    name: StoreName,
    path: PathBuf,
    connection: Connection,
}

/// A database as it is at one moment.
struct Snapshot {
    name: StoreName,
    path: PathBuf,
    connection: Connection,
}

/// Copies the databases of `services` into `to`: each copy with its size in bytes.
pub(crate) fn back_up(
    files: &Sqlite,
    options: &Options,
    services: &[ServiceName],
    to: &Path,
) -> Result<Vec<(PathBuf, u64)>, OpenError> {
    let snapshots = snapshots(files, options, services)?;
    fs::create_dir_all(to).map_err(|error| cannot_use(to, error))?;
    for snapshot in &snapshots {
        is_free(&snapshot.copy_in(to))?;
    }
    snapshots.iter().map(|snapshot| snapshot.copy(to)).collect()
}

/// Snapshots of one moment: of each service's database, and of those of its projections that readers see.
fn snapshots(
    files: &Sqlite,
    options: &Options,
    services: &[ServiceName],
) -> Result<Vec<Snapshot>, OpenError> {
    let (mut held, until) = (Vec::new(), Instant::now() + HOLD_MAX);
    for service in services {
        let own = StoreName::of(service);
        moved::check(&files.path(&own), service)?;
        let own = Held::of(files, options, own, until)?;
        // Which of them readers see does not change while nobody writes it down.
        for versions in own.projections()? {
            let name = StoreName::projection(service, &versions.projection, versions.active.0);
            // Without its file it is built anew at the next start, and so it is without a copy.
            if files.path(&name).exists() {
                held.push(Held::of(files, options, name, until)?);
            }
        }
        held.push(own);
    }
    held.iter().map(|held| held.snapshot(options)).collect()
}

impl Held {
    /// Waits until whoever writes the database has committed, and keeps the next one waiting.
    fn of(files: &Sqlite, options: &Options, name: StoreName, until: Instant) -> Result<Held, OpenError> {
        let path = files.path(&name);
        if !path.try_exists().map_err(|error| cannot_use(&path, error))? {
            let words =
                "it is not there: its service has never run here, or keeps its data in another directory";
            return Err(cannot_use(&path, io::Error::new(io::ErrorKind::NotFound, words)));
        }
        let open = || {
            let connection = looks(&path, options)?;
            let source = connection.query_row("SELECT source FROM divisi_meta", [], |row| row.get(0))?;
            connection.busy_timeout(Duration::ZERO)?;
            loop {
                match connection.execute_batch("BEGIN IMMEDIATE") {
                    Err(error) if is_busy(&error) && Instant::now() < until => sleep(TRY_EVERY),
                    begun => break begun?,
                }
            }
            Ok((connection, source))
        };
        let (connection, found): (_, String) = open().map_err(|error| connect::open_error(&path, error))?;
        if found != name.to_string() {
            let what = path.display().to_string();
            return Err(OpenError::Foreign { what, found, expected: name.to_string() });
        }
        Ok(Held { name, path, connection })
    }

    fn projections(&self) -> Result<Vec<leaving::Versions>, OpenError> {
        leaving::projections(&self.connection).map_err(|error| connect::open_error(&self.path, error))
    }

    fn snapshot(&self, options: &Options) -> Result<Snapshot, OpenError> {
        let open = || {
            let connection = looks(&self.path, options)?;
            connection.pragma_update(None, "query_only", true)?;
            connection.execute_batch("BEGIN")?;
            // It begins with the first that is read.
            connection.query_row("SELECT source FROM divisi_meta", [], |_| Ok(()))?;
            Ok(connection)
        };
        let connection = open().map_err(|error| connect::open_error(&self.path, error))?;
        Ok(Snapshot { name: self.name.clone(), path: self.path.clone(), connection })
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// A connection that leaves the files as they are when it is closed.
fn looks(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let connection = connect::beside(path, options)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

impl Snapshot {
    fn copy_in(&self, to: &Path) -> PathBuf {
        to.join(format!("{}.db", self.name))
    }

    /// Makes the copy. It has its name once it is whole and on the disk.
    fn copy(&self, to: &Path) -> Result<(PathBuf, u64), OpenError> {
        let copy = self.copy_in(to);
        // Nobody else makes one here, and nobody starts on it before it is whole.
        let _owner = Owner::take(&copy, None)?;
        is_free(&copy)?;
        let mut partial = copy.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let made = self.copy_to(&partial).and_then(|()| {
            let bytes = brought_to_disk(&partial, &copy).map_err(|error| cannot_use(&copy, error))?;
            Ok((copy, bytes))
        });
        if made.is_err() {
            // Why it was not made matters more; the next one removes it.
            let _ = fs::remove_file(&partial);
        }
        made
    }

    fn copy_to(&self, partial: &Path) -> Result<(), OpenError> {
        match fs::remove_file(partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_use(partial, error)),
            _ => {}
        }
        let open = || {
            let copy = Connection::open(partial)?;
            // It is synced once, at the end.
            copy.pragma_update(None, "synchronous", "OFF")?;
            Ok(copy)
        };
        let mut copy = open().map_err(|error| connect::open_error(partial, error))?;
        // The errors of both sides come by the handle of the copy.
        let copied = Backup::new(&self.connection, &mut copy).and_then(|backup| backup.step(ALL_PAGES));
        match copied.map_err(|error| connect::open_error(partial, error))? {
            StepResult::Done => {}
            other => {
                let words = format!("it was not copied to its end ({other:?}); try again");
                let what = self.path.display().to_string();
                return Err(OpenError::Other { what, source: StoreError::new(StoreErrorKind::Other, words) });
            }
        }
        let sound: String = copy
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| connect::open_error(&self.path, error))?;
        if sound != "ok" {
            let source = StoreError::new(StoreErrorKind::Corrupt, sound);
            return Err(OpenError::Damaged { what: self.path.display().to_string(), source });
        }
        copy.close().map_err(|(_, error)| connect::open_error(partial, error))
    }
}

/// A backup replaces nothing.
fn is_free(copy: &Path) -> Result<(), OpenError> {
    match copy.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => {
            let words = "it is there already, and a backup replaces nothing; name another directory";
            Err(cannot_use(copy, io::Error::new(io::ErrorKind::AlreadyExists, words)))
        }
        Err(error) => Err(cannot_use(copy, error)),
    }
}

/// Syncs the file and gives it its name; its size in bytes.
fn brought_to_disk(partial: &Path, copy: &Path) -> io::Result<u64> {
    let file = File::open(partial)?;
    file.sync_all()?;
    failpoint::hit("backup.copied");
    fs::rename(partial, copy)?;
    sync_directory(copy)?;
    Ok(file.metadata()?.len())
}

fn cannot_use(path: &Path, source: io::Error) -> OpenError {
    OpenError::Place { what: path.display().to_string(), source }
}
