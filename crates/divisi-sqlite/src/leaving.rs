//! A database on its way to another engine: owned, read from one snapshot, not changed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use divisi_store::origin::Table;
use divisi_store::{
    Dialect, Epoch, OpenError, Origin, Row, Schema, StoreError, StoreErrorKind, StoreName, Value,
};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::mpsc;
use tokio::task;

use crate::connect;
use crate::error::store_error;
use crate::link::{Link, value};
use crate::moved;
use crate::options::Options;
use crate::owner::Owner;

/// A batch has so many rows at most, or
const BATCH_ROWS_MAX: usize = 1_000;
/// ends with the row that makes it this long.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How many batches may wait to be taken.
const BATCHES_MAX: usize = 2;

/// A service's database that is being carried elsewhere. While it lives no process can open the file to serve.
pub struct Leaving {
    /// A snapshot is open on it, from the beginning to the end.
    link: Arc<Mutex<Link>>,
    path: PathBuf,
    what: String,
    identity: String,
    epoch: Epoch,
    tables: Vec<Table>,
    /// Given back last.
    _owner: Owner,
}

impl Leaving {
    pub(crate) fn take(
        path: &Path,
        name: &StoreName,
        schema: &Schema,
        options: &Options,
    ) -> Result<Leaving, OpenError> {
        connect::check_version()?;
        let what = path.display().to_string();
        let place = |source| OpenError::Place { what: what.clone(), source };
        if !path.try_exists().map_err(place)? {
            return Err(place(std::io::ErrorKind::NotFound.into()));
        }
        let owner = Owner::take(path, options.address.as_deref())?;
        let failed = |error| connect::open_error(path, error);
        let link = connect::reader(path, options).map_err(failed)?;
        let (found, identity, epoch, tables) = link
            .as_ours(|connection| {
                connection.execute_batch("BEGIN")?;
                let (source, identity, epoch) = connection.query_row(
                    "SELECT source, db_identity, epoch FROM divisi_meta",
                    [],
                    |row| Ok((row.get::<_, String>(0)?, row.get(1)?, Epoch(row.get(2)?))),
                )?;
                Ok((source, identity, epoch, tables(connection)?))
            })
            .map_err(failed)?;
        if found != name.to_string() {
            return Err(OpenError::Foreign { what, found, expected: name.to_string() });
        }
        link.as_ours(|connection| in_shape(connection, &what, schema))?;
        Ok(Leaving {
            link: Arc::new(Mutex::new(link)),
            path: path.to_owned(),
            what,
            identity,
            epoch,
            tables,
            _owner: owner,
        })
    }

    /// It lives at `to` from now on, and a start on this file is refused with that word. The mark is beside the file,
    /// which stays as it is.
    pub fn has_moved(self, to: &str) -> Result<(), OpenError> {
        moved::write(&self.path, to)
    }
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
        let (link, table) = (Arc::clone(&self.link), table.clone());
        // It ends by itself when nobody takes what it reads.
        drop(task::spawn_blocking(move || {
            let link = link.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = link.as_ours(|connection| read(connection, &table, &sender)) {
                // Nobody is there to be told when this fails.
                let _ = sender.blocking_send(Err(error));
            }
        }));
        receiver
    }
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving").field("what", &self.what).finish_non_exhaustive()
    }
}

/// The tables that hold rows of their own: neither views, nor what a virtual table keeps behind itself.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let names: Vec<String> =
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut tables = Vec::new();
    for name in names {
        let columns = connection
            .prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid")?
            .query_map([&name], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let count: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {}", quoted(&name)), [], |row| row.get(0))?;
        tables.push(Table { name, columns, rows: count.unsigned_abs() });
    }
    Ok(tables)
}

/// Looks whether the tables are those that `schema` says, so that the other engine's form of it has a place for each.
fn in_shape(connection: &Connection, what: &str, schema: &Schema) -> Result<(), OpenError> {
    let failed = |error| connect::open_error(Path::new(what), error);
    let known = schema.migrations.last().map_or(0, |migration| migration.version);
    let applied = "SELECT coalesce(max(version), 0) FROM divisi_migration WHERE owner = 'service'";
    let found: u32 = connection.query_row(applied, [], |row| row.get(0)).map_err(failed)?;
    if found > known {
        return Err(OpenError::Newer { what: what.to_owned(), found, known });
    }
    if found < known {
        let message = format!(
            "it has migration {found} of {known}: start this version of the service on it once, then move it"
        );
        let source = StoreError::new(StoreErrorKind::Statement, message);
        return Err(OpenError::Other { what: what.to_owned(), source });
    }
    for migration in &schema.migrations {
        let sql = "SELECT checksum FROM divisi_migration WHERE owner = 'service' AND version = ?1";
        let checksum: Option<i64> =
            connection.query_row(sql, [migration.version], |row| row.get(0)).optional().map_err(failed)?;
        if checksum != Some(migration.checksum(Dialect::Sqlite)) {
            return Err(OpenError::Changed { what: what.to_owned(), version: migration.version });
        }
    }
    Ok(())
}

fn read(
    connection: &Connection,
    table: &Table,
    sender: &mpsc::Sender<Result<Vec<Row>, StoreError>>,
) -> Result<(), StoreError> {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(column)).collect();
    let sql = format!("SELECT {} FROM {}", columns.join(", "), quoted(&table.name));
    let mut statement = connection.prepare(&sql).map_err(store_error)?;
    let mut rows = statement.query([]).map_err(store_error)?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(store_error)? {
        let mut values = Vec::with_capacity(table.columns.len());
        for column in 0..table.columns.len() {
            let found = value(row.get_ref(column).map_err(store_error)?)?;
            bytes += match &found {
                Value::Text(text) => text.len(),
                Value::Blob(blob) => blob.len(),
                _ => size_of::<Value>(),
            };
            values.push(found);
        }
        batch.push(Row::new(values));
        if batch.len() >= BATCH_ROWS_MAX || bytes >= BATCH_BYTES_MAX {
            bytes = 0;
            if sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // As above: nobody wants it any more.
        let _ = sender.blocking_send(Ok(batch));
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
