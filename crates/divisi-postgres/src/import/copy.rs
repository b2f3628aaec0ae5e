//! All rows of a database, by binary COPY, and a look at what has become of them.

use std::pin::pin;

use bytes::BytesMut;
use divisi_store::{StoreError, StoreErrorKind, Value, failpoint};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::DbError;
use tokio_postgres::types::{IsNull, ToSql, Type};

use super::digest::{Digest, Line, Raw};
use super::shape::{self, Pair};
use super::{ImportError, Imported, ImportedTable, Part};
use crate::arrival::Visit;
use crate::error::store_error;
use crate::place::quoted;
use crate::value::Bound;

/// So many rows are brought back at once to be looked at, at the most, and
const ROWS_AT_ONCE_MAX: u64 = 1_000;
/// about so many bytes.
const BYTES_AT_ONCE: u64 = 1 << 20;

/// Copies all tables of `part`. Foreign keys are looked at when all are there, and triggers do not fire: what they do
/// was done.
pub(super) async fn all(
    visit: Visit<'_>,
    part: &Part<'_>,
    imported: &mut Imported,
) -> Result<(), ImportError> {
    let (pairs, left_behind) = shape::pairs(visit, part).await?;
    imported.left_behind.extend(left_behind);
    let keys = without_foreign_keys(visit).await?;
    for pair in &pairs {
        // What migrations have put there is among what comes.
        visit.batch(&format!("ALTER TABLE {0} DISABLE TRIGGER USER; DELETE FROM {0}", pair.name)).await?;
        let mut copying = Copying { visit, part, pair, line: Line::default(), bytes: 0 };
        let sent = copying.send().await?;
        visit.batch("SET CONSTRAINTS ALL IMMEDIATE").await?;
        let found = copying.look().await?;
        if sent != found {
            let (table, sent, found) = (pair.title.clone(), sent.to_string(), found.to_string());
            return Err(ImportError::Differs { table, sent, found });
        }
        visit.batch(&format!("ALTER TABLE {} ENABLE TRIGGER USER", pair.name)).await?;
        move_sequences(visit, pair).await?;
        imported.tables.push(ImportedTable {
            name: pair.title.clone(),
            rows: found.rows,
            bytes: copying.bytes,
        });
        failpoint::hit("move.copying");
    }
    for key in keys {
        let made = visit.client.batch_execute(&key).await;
        made.map_err(|error| ImportError::ForeignKey {
            database: part.name.to_string(),
            source: words_of(error),
        })?;
    }
    Ok(())
}

/// Takes foreign keys off, so that tables can come in any order; the statements that put them on again.
async fn without_foreign_keys(visit: Visit<'_>) -> Result<Vec<String>, ImportError> {
    let sql = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname), \
               format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) \
               FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND connamespace = current_schema()::regnamespace";
    let mut keys = Vec::new();
    for row in visit.rows(sql, &[]).await? {
        visit.batch(visit.column(&row, 0)?).await?;
        keys.push(visit.column(&row, 1)?);
    }
    Ok(keys)
}

/// Numbers that the database gives go on after the highest that was ever given.
async fn move_sequences(visit: Visit<'_>, pair: &Pair<'_>) -> Result<(), ImportError> {
    let sql = "SELECT a.attname::text, pg_get_serial_sequence($1, a.attname) FROM pg_attribute a \
               WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped \
               AND pg_get_serial_sequence($1, a.attname) IS NOT NULL";
    for row in visit.rows(sql, &[&pair.name]).await? {
        let (column, sequence): (String, String) = (visit.column(&row, 0)?, visit.column(&row, 1)?);
        let sql = format!(
            "SELECT setval($1::text::regclass, x.last) FROM (SELECT greatest(max({})::bigint, $2::bigint) AS last FROM {}) x WHERE x.last > 0",
            quoted(&column),
            pair.name
        );
        visit.rows(&sql, &[&sequence, &pair.from.last_number]).await?;
    }
    Ok(())
}

/// A table on its way.
struct Copying<'a> {
    visit: Visit<'a>,
    part: &'a Part<'a>,
    pair: &'a Pair<'a>,
    line: Line,
    bytes: u64,
}

/// Where a copy ended.
enum Ended {
    /// The origin has no more to give, or cannot be read.
    Origin(StoreError),
    /// A value does not fit, of this row and this column.
    Value(u64, usize, StoreError),
    /// The server does not take it.
    Server(tokio_postgres::Error),
}

impl Copying<'_> {
    /// Sends all rows; what they come to.
    async fn send(&mut self) -> Result<Digest, ImportError> {
        let table = || self.pair.title.clone();
        let ended = match self.stream().await {
            Ok(digest) => return Ok(digest),
            Err(ended) => ended,
        };
        // Whoever read the rows has stopped: now one can be asked for its name.
        let name = |n| self.part.origin.row_name(self.pair.from, n);
        Err(match ended {
            Ended::Origin(source) => ImportError::Origin { table: table(), source },
            Ended::Value(n, column, source) => {
                let column = self.pair.from.columns.get(column).cloned().unwrap_or_default();
                ImportError::Value { table: table(), row: name(n).await, column, source }
            }
            Ended::Server(error) => match error.as_db_error().and_then(line_of) {
                Some((n, Some(column))) => {
                    ImportError::Value { table: table(), row: name(n).await, column, source: words_of(error) }
                }
                Some((n, None)) => {
                    ImportError::Row { table: table(), row: name(n).await, source: words_of(error) }
                }
                None => ImportError::Row {
                    table: table(),
                    row: "one of its rows".to_owned(),
                    source: words_of(error),
                },
            },
        })
    }

    async fn stream(&mut self) -> Result<Digest, Ended> {
        let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", self.pair.name, self.pair.columns);
        let sink = self.visit.client.copy_in(&sql).await.map_err(Ended::Server)?;
        let types = &self.pair.types;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
        let mut batches = self.part.origin.rows(self.pair.from);
        let (mut digest, mut encoded, mut ends) = (Digest::default(), BytesMut::new(), Vec::new());
        while let Some(batch) = batches.recv().await {
            for row in batch.map_err(Ended::Origin)? {
                encoded.clear();
                ends.clear();
                self.line.clear();
                let values = row.into_values();
                for (column, (value, of)) in values.iter().zip(types).enumerate() {
                    let begins = encoded.len();
                    let is_null = encode(value, of, &mut encoded)
                        .map_err(|error| Ended::Value(digest.rows + 1, column, error))?;
                    let range = (!is_null).then(|| begins..encoded.len());
                    self.line.add(of, range.clone().and_then(|range| encoded.get(range)));
                    ends.push(range);
                }
                digest.add(&self.line);
                self.bytes += encoded.len() as u64;
                let raw: Vec<Raw<'_>> = ends
                    .iter()
                    .map(|range| Raw(range.clone().and_then(|range| encoded.get(range))))
                    .collect();
                let written = writer.as_mut().write_raw(raw).await;
                if let Err(error) = written {
                    // The server has said why at the end of the copy.
                    return Err(Ended::Server(writer.finish().await.err().unwrap_or(error)));
                }
            }
        }
        writer.finish().await.map_err(Ended::Server)?;
        if digest.rows != self.pair.from.rows {
            let words = format!("it was to have {} rows and has {}", self.pair.from.rows, digest.rows);
            return Err(Ended::Origin(StoreError::new(StoreErrorKind::Corrupt, words)));
        }
        Ok(digest)
    }

    /// Reads all rows back; what they come to.
    async fn look(&mut self) -> Result<Digest, ImportError> {
        let (visit, pair) = (self.visit, self.pair);
        let sql = format!("DECLARE came NO SCROLL CURSOR FOR SELECT {} FROM {}", pair.columns, pair.name);
        visit.batch(&sql).await?;
        let mut digest = Digest::default();
        let bytes_a_row = self.bytes / pair.from.rows.max(1);
        let at_once = (BYTES_AT_ONCE / bytes_a_row.max(1)).clamp(1, ROWS_AT_ONCE_MAX);
        loop {
            let rows = visit.rows(&format!("FETCH FORWARD {at_once} FROM came"), &[]).await?;
            for row in &rows {
                self.line.clear();
                for (n, of) in pair.types.iter().enumerate() {
                    let Raw(value) = visit.column(row, n)?;
                    self.line.add(of, value);
                }
                digest.add(&self.line);
            }
            if (rows.len() as u64) < at_once {
                break;
            }
        }
        visit.batch("CLOSE came").await?;
        Ok(digest)
    }
}

/// Puts a value down as its column has it; whether there is none.
fn encode(value: &Value, of: &Type, out: &mut BytesMut) -> Result<bool, StoreError> {
    let unfit = |source: Box<dyn std::error::Error + Sync + Send>| {
        StoreError::new(StoreErrorKind::Type, source.to_string())
    };
    if let Value::Text(text) = value
        && text.contains('\0')
    {
        return Err(unfit("PostgreSQL has no text with a zero byte in it".into()));
    }
    match Bound(value.borrowed()).to_sql(of, out).map_err(unfit)? {
        IsNull::Yes => Ok(true),
        IsNull::No => Ok(false),
    }
}

/// Which row of a copy the server speaks of, and which column: `COPY comments, line 3, column id`.
fn line_of(error: &DbError) -> Option<(u64, Option<String>)> {
    let (_, place) =
        error.where_()?.lines().find(|line| line.starts_with("COPY "))?.rsplit_once(", line ")?;
    let (line, column) = place.split_once(", column ").unwrap_or((place, ""));
    let column = error.column().unwrap_or_else(|| column.split(':').next().unwrap_or_default());
    let number = line.split(':').next()?.trim().parse().ok()?;
    Some((number, Some(column.to_owned()).filter(|column| !column.is_empty())))
}

/// What the server says, its detail too: it names the values.
fn words_of(error: tokio_postgres::Error) -> StoreError {
    let said = error.as_db_error().map(|db| match db.detail() {
        Some(detail) => format!("{}: {detail}", db.message()),
        None => db.message().to_owned(),
    });
    let error = store_error(error);
    match said {
        Some(said) => StoreError { message: said, source: None, ..error },
        None => error,
    }
}
