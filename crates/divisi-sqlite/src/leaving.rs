//! A database on its way to another engine: owned, read from one snapshot, not changed.

mod tables;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use divisi_store::origin::Table;
use divisi_store::{
    BoxFuture, Dialect, Epoch, Migration, OpenError, Origin, Row, Schema, StoreError, StoreErrorKind,
    StoreName,
};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::mpsc;
use tokio::task;

use self::tables::Reading;
use crate::connect;
use crate::migrate::OWN;
use crate::moved;
use crate::options::Options;
use crate::owner::Owner;

/// How many batches of rows may wait to be taken.
const BATCHES_MAX: usize = 2;

/// A service's database that is being carried elsewhere. While it lives no process can open the file.
pub struct Leaving {
    /// A snapshot is open on it, from the beginning to the end.
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
    what: String,
    identity: String,
    epoch: Epoch,
    tables: Vec<Table>,
    /// Given back last.
    _owner: Owner,
}

/// Which versions of a projection there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The projection.
    pub projection: String,
    /// The version that readers see, and its shape.
    pub active: (u32, u32),
    /// The one that is to take its place.
    pub building: Option<u32>,
}

impl Leaving {
    /// Takes the database of `name`, which must be there, for this process.
    pub(crate) fn take(path: &Path, name: &StoreName, options: &Options) -> Result<Leaving, OpenError> {
        connect::check_version()?;
        let what = path.display().to_string();
        let place = |source| OpenError::Place { what: what.clone(), source };
        if !path.try_exists().map_err(place)? {
            return Err(place(std::io::ErrorKind::NotFound.into()));
        }
        let owner = Owner::take(path, options.address.as_deref())?;
        let failed = |error| connect::open_error(path, error);
        let connection = connect::beside(path, options).map_err(failed)?;
        let open = || {
            connection.pragma_update(None, "query_only", true)?;
            connection.execute_batch("BEGIN")?;
            let whose =
                |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, Epoch(row.get(2)?)));
            let whose =
                connection.query_row("SELECT source, db_identity, epoch FROM divisi_meta", [], whose)?;
            Ok((whose, tables::all(&connection)?))
        };
        let ((found, identity, epoch), tables) = open().map_err(failed)?;
        if found != name.to_string() {
            return Err(OpenError::Foreign { what, found, expected: name.to_string() });
        }
        Ok(Leaving {
            connection: Arc::new(Mutex::new(connection)),
            path: path.to_owned(),
            what,
            identity,
            epoch,
            tables,
            _owner: owner,
        })
    }

    /// Looks whether its tables are those that `schema` says, so that the other engine's form of it has a place for each.
    pub fn has_shape(&self, schema: &Schema) -> Result<(), OpenError> {
        self.has_migrations("divisi", &OWN)?;
        self.has_migrations("service", &schema.migrations)
    }

    fn has_migrations(&self, owner: &str, wanted: &[Migration]) -> Result<(), OpenError> {
        let what = || self.what.clone();
        let known = wanted.last().map_or(0, |migration| migration.version);
        let sql = "SELECT coalesce(max(version), 0) FROM divisi_migration WHERE owner = ?1";
        let found: u32 = self.with(|it| it.query_row(sql, [owner], |row| row.get(0)))?;
        if found > known {
            return Err(OpenError::Newer { what: what(), found, known });
        }
        if found < known {
            let words = format!(
                "it has migration {found} of {known}: start this version of the service on it once, then move it"
            );
            let source = StoreError::new(StoreErrorKind::Statement, words);
            return Err(OpenError::Other { what: what(), source });
        }
        for migration in wanted {
            let sql = "SELECT checksum FROM divisi_migration WHERE owner = ?1 AND version = ?2";
            let version = migration.version;
            let checksum: Option<i64> =
                self.with(|it| it.query_row(sql, (owner, version), |row| row.get(0)).optional())?;
            if checksum != Some(migration.checksum(Dialect::Sqlite)) {
                return Err(OpenError::Changed { what: what(), version });
            }
        }
        Ok(())
    }

    /// The versions of each projection of the service.
    pub fn projections(&self) -> Result<Vec<Versions>, OpenError> {
        self.with(projections)
    }

    /// Where its service has moved, if it has.
    pub fn moved_to(&self) -> Result<Option<String>, OpenError> {
        moved::read(&self.path)
    }

    /// Its service lives at `to` from now on, and a start on this file is refused with that word. The mark is a file
    /// beside this one, which stays as it is; it is on the disk when this returns.
    pub fn has_moved(&self, to: &str) -> Result<(), OpenError> {
        moved::write(&self.path, to)
    }

    /// Takes [`Leaving::has_moved`] back. What was written elsewhere since is not in this file.
    pub fn has_come_back(&self) -> Result<(), OpenError> {
        moved::forget(&self.path)
    }

    fn with<T>(&self, body: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, OpenError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        body(&connection).map_err(|error| connect::open_error(&self.path, error))
    }
}

/// The versions of each projection of the service whose database this is.
pub(crate) fn projections(connection: &Connection) -> rusqlite::Result<Vec<Versions>> {
    let sql = "SELECT name, active, shape, building FROM divisi_projection ORDER BY name";
    let versions = |row: &rusqlite::Row<'_>| {
        let active = (row.get(1)?, row.get(2)?);
        Ok(Versions { projection: row.get(0)?, active, building: row.get(3)? })
    };
    connection.prepare(sql)?.query_map([], versions)?.collect()
}

impl Origin for Leaving {
    fn what(&self) -> &str {
        &self.what
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn tables(&self) -> &[Table] {
        &self.tables
    }

    fn rows(&self, table: &Table) -> mpsc::Receiver<Result<Vec<Row>, StoreError>> {
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let (connection, table) = (Arc::clone(&self.connection), table.clone());
        // It ends by itself when nobody takes what it reads.
        drop(task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let read = Reading::of(&connection, &table)
                .and_then(|reading| reading.batches(|batch| sender.blocking_send(Ok(batch)).is_ok()));
            if let Err(error) = read {
                // Nobody is there to be told when this fails.
                let _ = sender.blocking_send(Err(error));
            }
        }));
        receiver
    }

    fn row_name<'a>(&'a self, table: &'a Table, n: u64) -> BoxFuture<'a, String> {
        let (connection, table) = (Arc::clone(&self.connection), table.clone());
        let named = task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            Reading::of(&connection, &table).and_then(|reading| reading.name_of(n))
        });
        // An error is being told of already: a row's number will do.
        Box::pin(async move {
            named.await.ok().and_then(Result::ok).flatten().unwrap_or_else(|| format!("row {n}"))
        })
    }
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving").field("what", &self.what).finish_non_exhaustive()
    }
}
