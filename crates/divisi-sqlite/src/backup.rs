//! Copies of databases that are in use, all as they were at one moment.
//!
//! Nobody commits anywhere while a snapshot of each database is opened: some milliseconds, for which writers wait. So what one service has
//! heard of another, the other's copy has announced, in whatever circles they listen. Then writers go on beside the copying, and a
//! write-ahead log grows until its database is copied. (The three files of a database that is in use, copied one after the other, would be
//! of several moments, and no database.)
//!
//! The copies are made in a directory of their own, which gets its name when all of them are whole and on the disk: a backup is there or
//! it is not.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use divisi_contract::ServiceName;
use divisi_store::{OpenError, StoreError, StoreErrorKind, StoreName, failpoint};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode};

use crate::backend::Sqlite;
use crate::connect;
use crate::leaving;
use crate::moved;
use crate::options::Options;
use crate::owner::Owner;
use crate::place::sync_directory;

/// How often it is tried to take the place of a writer: between two groups there are some hundred microseconds.
const TRY_EVERY: Duration = Duration::from_micros(100);
/// How long writers may be kept waiting for the snapshots. They would be told after five seconds.
const HOLD_MAX: Duration = Duration::from_millis(500);
/// How long they are let go on before it is tried again …
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// … and for how long in all.
const TRIED_FOR: Duration = Duration::from_secs(30);
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

/// Copies the databases of `services` from the directory `from` into `to`, which is not there or empty: each copy with its size in bytes.
pub(crate) fn back_up(
    files: &Sqlite,
    (from, options): (&Path, &Options),
    services: &[ServiceName],
    to: &Path,
) -> Result<Vec<(PathBuf, u64)>, OpenError> {
    is_free(to)?;
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let began = Instant::now();
    let snapshots = loop {
        match snapshots(files, options, services) {
            Err(OpenError::Other { source, .. })
                if source.kind == StoreErrorKind::Busy && began.elapsed() < TRIED_FOR =>
            {
                sleep(AGAIN_AFTER);
            }
            snapshots => break snapshots?,
        }
    };
    let partial = beside(to, ".partial");
    if let Some(parent) = partial.parent() {
        fs::create_dir_all(parent).map_err(|error| cannot_use(parent, error))?;
    }
    // Nobody else makes one there.
    let owner = Owner::take(&partial, None)?;
    let made = make_in(&partial, from, snapshots).and_then(|made| {
        brought_to_disk(&partial, to).map_err(|error| cannot_use(to, error))?;
        Ok(made.into_iter().map(|(name, bytes)| (to.join(name), bytes)).collect())
    });
    if made.is_err() {
        // Why it was not made matters more.
        let _ = clear(&partial);
    }
    let _ = fs::remove_file(beside(&partial, ".owner"));
    drop(owner);
    made
}

/// Makes the copies in `partial`, which is made anew: each name with its size in bytes.
fn make_in(partial: &Path, from: &Path, snapshots: Vec<Snapshot>) -> Result<Vec<(String, u64)>, OpenError> {
    let place = |error| cannot_use(partial, error);
    clear(partial).map_err(place)?;
    fs::create_dir(partial).map_err(place)?;
    // What is copied is nobody else's business either.
    fs::metadata(from).and_then(|from| fs::set_permissions(partial, from.permissions())).map_err(place)?;
    let mut made = Vec::new();
    for snapshot in snapshots {
        let name = format!("{}.db", snapshot.name);
        let copy = partial.join(&name);
        snapshot.copy(&copy)?;
        let synced = File::open(&copy).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
        made.push((name, synced.map_err(|error| cannot_use(&copy, error))?.len()));
    }
    Ok(made)
}

/// Removes what one that was killed has left. What was not made here stays, and is in the way.
fn clear(partial: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(partial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains(".db") {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(partial)
}

/// Brings the directory to the disk and gives it its name.
fn brought_to_disk(partial: &Path, to: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    failpoint::hit("backup.copied");
    // An empty directory of that name is replaced, another one is not.
    fs::rename(partial, to)?;
    sync_directory(to)
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
            let connection = connect::beside(&path, options)?;
            connect::is_ours(&connection)?;
            let source = connection.query_row("SELECT source FROM divisi_meta", [], |row| row.get(0))?;
            connection.busy_timeout(Duration::ZERO)?;
            loop {
                match connection.execute_batch("BEGIN IMMEDIATE") {
                    Err(error)
                        if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                            && Instant::now() < until =>
                    {
                        sleep(TRY_EVERY);
                    }
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
            let connection = connect::beside(&self.path, options)?;
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

impl Snapshot {
    /// Makes the copy, and looks whether it is sound.
    fn copy(self, copy: &Path) -> Result<(), OpenError> {
        let Snapshot { path, connection: source, .. } = self;
        let made =
            File::create(copy).and_then(|file| file.set_permissions(fs::metadata(&path)?.permissions()));
        made.map_err(|error| cannot_use(copy, error))?;
        // Errors of both sides come by the handle of the copy; what is damaged is the source.
        let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => connect::open_error(&path, error),
            _ => connect::open_error(copy, error),
        };
        let open = || {
            let connection = Connection::open(copy)?;
            // It is synced once, at the end, and removed if it fails; and nobody else has it, so no memory is shared.
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
            Ok(connection)
        };
        let mut written = open().map_err(failed)?;
        let done = Backup::new(&source, &mut written).and_then(|backup| backup.step(ALL_PAGES));
        drop(source);
        match done.map_err(failed)? {
            StepResult::Done => {}
            other => {
                let words = format!("it was not copied to its end ({other:?}); try again");
                let what = path.display().to_string();
                return Err(OpenError::Other { what, source: StoreError::new(StoreErrorKind::Other, words) });
            }
        }
        let sound: String =
            written.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if sound != "ok" {
            let source = StoreError::new(StoreErrorKind::Corrupt, sound);
            return Err(OpenError::Damaged { what: path.display().to_string(), source });
        }
        written.close().map_err(|(_, error)| failed(error))
    }
}

/// A backup replaces nothing.
fn is_free(to: &Path) -> Result<(), OpenError> {
    let words = "it is there and not empty, and a backup replaces nothing; name another directory";
    match fs::read_dir(to).and_then(|mut entries| entries.next().transpose()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(cannot_use(to, io::Error::new(io::ErrorKind::DirectoryNotEmpty, words))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_use(to, error)),
    }
}

/// The path with `suffix` behind its last name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path: PathBuf = path.components().collect();
    path.as_mut_os_string().push(suffix);
    path
}

fn cannot_use(path: &Path, source: io::Error) -> OpenError {
    OpenError::Place { what: path.display().to_string(), source }
}
