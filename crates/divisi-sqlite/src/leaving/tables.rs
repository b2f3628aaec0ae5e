//! Which tables a file has, and their rows in an order that does not change.

use divisi_store::origin::Table;
use divisi_store::{Row, StoreError, Value};
use rusqlite::{Connection, OptionalExtension};

use crate::error::store_error;
use crate::link::value;

/// A batch has so many rows at most, or
const BATCH_ROWS_MAX: usize = 1_000;
/// ends with the row that makes it this long.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// So many characters of a key are shown.
const NAME_CHARS_MAX: usize = 60;

/// The tables that hold rows of their own: neither views, nor what an index of another kind keeps behind itself.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    let sql = "SELECT name, type = 'virtual' FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') \
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let name = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let names: Vec<(String, bool)> =
        connection.prepare(sql)?.query_map([], name)?.collect::<rusqlite::Result<_>>()?;
    let counts = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'";
    let counts = connection.query_row(counts, [], |_| Ok(())).optional()?.is_some();
    let mut tables = Vec::new();
    for (name, is_index) in names {
        let columns = connection
            .prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid")?
            .query_map([&name], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let rows: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {}", quoted(&name)), [], |row| row.get(0))?;
        let last_number = match counts {
            true => connection
                .query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [&name], |row| row.get(0))
                .optional()?,
            false => None,
        };
        tables.push(Table { name, columns, rows: rows.unsigned_abs(), last_number, is_index });
    }
    Ok(tables)
}

/// A table that is read, in the order in which it lies on the disk.
pub(super) struct Reading<'c> {
    connection: &'c Connection,
    table: &'c Table,
    /// The columns of its key, or the one that stands for its number.
    key: Vec<String>,
}

impl<'c> Reading<'c> {
    pub(super) fn of(connection: &'c Connection, table: &'c Table) -> Result<Reading<'c>, StoreError> {
        let key = key(connection, table).map_err(store_error)?;
        Ok(Reading { connection, table, key })
    }

    /// Gives all rows to `take`, until it wants no more.
    pub(super) fn batches(&self, mut take: impl FnMut(Vec<Row>) -> bool) -> Result<(), StoreError> {
        let mut statement =
            self.connection.prepare(&self.select(&self.table.columns)).map_err(store_error)?;
        let mut rows = statement.query([]).map_err(store_error)?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(store_error)? {
            let values = values(row, self.table.columns.len())?;
            bytes += values.iter().map(size).sum::<usize>();
            batch.push(Row::new(values));
            if batch.len() >= BATCH_ROWS_MAX || bytes >= BATCH_BYTES_MAX {
                bytes = 0;
                if !take(std::mem::take(&mut batch)) {
                    return Ok(());
                }
            }
        }
        if !batch.is_empty() {
            take(batch);
        }
        Ok(())
    }

    /// The key of the `n`th row, counted from 1, as `id = 7`.
    pub(super) fn name_of(&self, n: u64) -> Result<Option<String>, StoreError> {
        let sql = format!("{} LIMIT 1 OFFSET ?1", self.select(&self.key));
        let mut statement = self.connection.prepare(&sql).map_err(store_error)?;
        let before = i64::try_from(n.saturating_sub(1)).unwrap_or(i64::MAX);
        let mut rows = statement.query([before]).map_err(store_error)?;
        let Some(row) = rows.next().map_err(store_error)? else { return Ok(None) };
        let parts = self.key.iter().zip(values(row, self.key.len())?);
        Ok(Some(
            parts
                .map(|(column, value)| format!("{column} = {}", shown(&value)))
                .collect::<Vec<_>>()
                .join(", "),
        ))
    }

    fn select(&self, columns: &[String]) -> String {
        let list =
            |columns: &[String]| columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        format!("SELECT {} FROM {} ORDER BY {}", list(columns), quoted(&self.table.name), list(&self.key))
    }
}

/// What the rows of a table are called by: its primary key, or the number that every row has without one.
fn key(connection: &Connection, table: &Table) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_xinfo(?1) WHERE pk > 0 ORDER BY pk";
    let key: Vec<String> = connection
        .prepare(sql)?
        .query_map([&table.name], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if !key.is_empty() {
        return Ok(key);
    }
    // A column may have one of the names by which the number goes.
    let is_column = |name: &&str| table.columns.iter().any(|column| column.eq_ignore_ascii_case(name));
    Ok(["rowid", "_rowid_", "oid"]
        .into_iter()
        .filter(|name| !is_column(name))
        .take(1)
        .map(str::to_owned)
        .collect())
}

fn values(row: &rusqlite::Row<'_>, n: usize) -> Result<Vec<Value>, StoreError> {
    (0..n).map(|column| value(row.get_ref(column).map_err(store_error)?)).collect()
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        _ => size_of::<Value>(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Real(n) => n.to_string(),
        Value::Text(text) => format!("'{}'", text.chars().take(NAME_CHARS_MAX).collect::<String>()),
        Value::Blob(bytes) => {
            let digits = bytes.iter().take(NAME_CHARS_MAX / 2).map(|byte| format!("{byte:02x}"));
            format!("x'{}'", digits.collect::<String>())
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
