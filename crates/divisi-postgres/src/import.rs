//! A service's database that comes from another engine, whole: its own tables and the framework's.
//!
//! All of it is one transaction, the tables' making too: until its COMMIT the target is as empty as it was, whatever is
//! killed. A rehearsal is the same transaction, taken back.
//!
//! The new database stands in an epoch that is not of this server, so the first start begins one of its own above the
//! newest that was copied, with the copied ends as its forks: to whoever reads the log it is one more start.

use std::collections::BTreeMap;
use std::pin::pin;

use deadpool_postgres::{Client, Object};
use divisi_store::origin::Table;
use divisi_store::{OpenError, Origin, Row, Schema, StoreError, StoreName, Value};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use crate::backend::Postgres;
use crate::connect;
use crate::error::{open_error, store_error};
use crate::migrate;
use crate::place::{Place, quoted};
use crate::value::Bound;

/// What stands for the life of a server as long as nobody has opened the database after the move.
const NOT_OPENED: &str = "moved";
/// Tables of the framework that are not copied: those say what this database is, and which read models it has.
const NOT_COPIED: [&str; 3] = ["divisi_migration", "divisi_meta", "divisi_projection"];

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Where it is now: database, host and port.
    pub what: String,
    /// Each table with its rows, as counted here.
    pub tables: Vec<(String, u64)>,
    /// The lanes of the log that are not empty, each with its last position.
    pub ends: BTreeMap<(String, i64), i64>,
    /// Whether an earlier run had copied it already, and nobody has used it since.
    pub was_there: bool,
}

/// Why nothing was copied. The target is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The target cannot be used.
    #[error("the target cannot be used")]
    Target(#[source] OpenError),
    /// The target holds something.
    #[error("{what} is not empty: `{found}` is there; name a database of its own for the service")]
    NotEmpty {
        /// The target.
        what: String,
        /// The first thing that is there.
        found: String,
    },
    /// The service's tables on PostgreSQL have no place for something.
    #[error("the tables on PostgreSQL have no place for {}", .0.join(", "))]
    NoPlace(Vec<String>),
    /// A row does not fit.
    #[error("row {row} of `{table}` does not fit its table on PostgreSQL")]
    Row {
        /// The table.
        table: String,
        /// Which row, counted from 1.
        row: u64,
        /// Why.
        source: StoreError,
    },
    /// Something failed on the way.
    #[error("`{table}` cannot be copied")]
    Copy {
        /// The table.
        table: String,
        /// Why.
        source: StoreError,
    },
    /// What was found here is not what was sent.
    #[error("{0} afterwards; nothing was kept")]
    Differs(String),
    /// It is not known whether it was kept. Another run finds out.
    #[error("it is not known whether the copy was kept; run it again")]
    Unknown(#[source] StoreError),
    /// The server failed.
    #[error("the database server failed")]
    Server(#[source] StoreError),
}

impl Postgres {
    /// Copies `origin` into the empty database of `name`, made by `schema`; with `keep` off it is a rehearsal, which
    /// leaves nothing.
    pub async fn import(
        &self,
        name: &StoreName,
        schema: &Schema,
        origin: &dyn Origin,
        keep: bool,
    ) -> Result<Imported, ImportError> {
        let (place, connector) = self.place(name).map_err(ImportError::Target)?;
        let pool = connect::pool(&place, &connector, &self.options).map_err(ImportError::Target)?;
        let client = self.first(&place, &connector, &pool).await.map_err(ImportError::Target)?;
        let import = Import { client: &client, place: &place, origin };
        let imported = import.run(name, schema, self.options.clock.now(), keep).await;
        // It has the lock, no limits, and maybe a transaction: not one to give back.
        drop(Object::take(client));
        imported
    }

    /// How many events were announced in the database of `name` since it was moved there; none if it was not.
    pub async fn announced_since_import(&self, name: &StoreName) -> Result<Option<u64>, OpenError> {
        let (place, connector) = self.place(name)?;
        let pool = connect::pool(&place, &connector, &self.options)?;
        let client = self.first(&place, &connector, &pool).await?;
        let failed = |error| open_error(&place.what, store_error(error));
        let row = client.query_one("SELECT to_regclass('divisi_moved') IS NOT NULL", &[]).await;
        if !row.and_then(|row| row.try_get::<_, bool>(0)).map_err(failed)? {
            return Ok(None);
        }
        let sql = "SELECT count(*) FROM divisi_outbox WHERE epoch > (SELECT epoch FROM divisi_moved)";
        let row = client.query_one(sql, &[]).await;
        let count: i64 = row.and_then(|row| row.try_get(0)).map_err(failed)?;
        Ok(Some(count.unsigned_abs()))
    }
}

struct Import<'a> {
    client: &'a Client,
    place: &'a Place,
    origin: &'a dyn Origin,
}

/// A table of the origin with its place here.
struct Pair<'a> {
    from: &'a Table,
    name: String,
    columns: String,
    types: Vec<Type>,
}

impl Import<'_> {
    async fn run(
        &self,
        name: &StoreName,
        schema: &Schema,
        now: divisi_store::Timestamp,
        keep: bool,
    ) -> Result<Imported, ImportError> {
        connect::check_server(self.client, &self.place.what).await.map_err(ImportError::Target)?;
        migrate::prepare(self.client, self.place, now).await.map_err(ImportError::Target)?;
        self.batch("BEGIN").await?;
        let mut imported = Imported { what: self.place.what.clone(), ..Imported::default() };
        imported.was_there = self.is_there().await?;
        if !imported.was_there {
            let source = name.to_string();
            let shaped = migrate::inside_transaction(self.client, self.place, &source, schema, now).await;
            shaped.map_err(ImportError::Target)?;
        }
        let pairs = self.pairs().await?;
        if !imported.was_there {
            imported.ends = self.copy(&pairs).await?;
            self.remember(now).await?;
        }
        self.verify(&pairs, &mut imported).await?;
        if !keep {
            self.batch("ROLLBACK").await?;
            return Ok(imported);
        }
        self.client.batch_execute("COMMIT").await.map_err(|error| {
            if crate::error::is_lost(&error) {
                ImportError::Unknown(store_error(error))
            } else {
                ImportError::Server(store_error(error))
            }
        })?;
        Ok(imported)
    }

    /// Whether an earlier run copied this very state and nobody has opened it since. What else is there is refused, but
    /// for the copy of another state that nobody has opened: it is taken away.
    async fn is_there(&self) -> Result<bool, ImportError> {
        let sql = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace \
                   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
                   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') \
                   ORDER BY c.relname LIMIT 1";
        let Some(found) = self.rows(sql, &[]).await?.first().map(|row| row.try_get::<_, String>(0)) else {
            return Ok(false);
        };
        let found = found.map_err(server)?;
        let not_empty = || ImportError::NotEmpty { what: self.place.what.clone(), found: found.clone() };
        let moved = self.rows("SELECT to_regclass('divisi_moved') IS NOT NULL", &[]).await?;
        if !moved.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
            return Err(not_empty());
        }
        let sql = "SELECT d.identity, d.epoch FROM divisi_moved d, divisi_meta m WHERE m.db_identity = $1";
        let Some(row) = self.rows(sql, &[&NOT_OPENED]).await?.into_iter().next() else {
            return Err(not_empty());
        };
        let (identity, epoch): (String, i64) =
            (row.try_get(0).map_err(server)?, row.try_get(1).map_err(server)?);
        if identity != self.origin.identity() {
            return Err(not_empty());
        }
        if epoch == self.origin.epoch().0 {
            return Ok(true);
        }
        let schema = &self.place.schema;
        self.batch(&format!("DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")).await?;
        Ok(false)
    }

    /// Finds the place of each table here; everything that has none is said at once.
    async fn pairs(&self) -> Result<Vec<Pair<'_>>, ImportError> {
        let (mut pairs, mut none) = (Vec::new(), Vec::new());
        for from in self.origin.tables().iter().filter(|table| !NOT_COPIED.contains(&&*table.name)) {
            let sql = "SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                       WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') \
                       AND lower(c.relname) = lower($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";
            let mut here: Vec<(String, String)> = Vec::new();
            for row in self.rows(sql, &[&from.name]).await? {
                here.push((row.try_get(0).map_err(server)?, row.try_get(1).map_err(server)?));
            }
            let Some(name) = here.first().map(|(name, _)| quoted(name)) else {
                if from.rows > 0 {
                    none.push(format!("the table `{}` ({} rows)", from.name, from.rows));
                }
                continue;
            };
            let mut columns = Vec::new();
            for wanted in &from.columns {
                // Names without quotes are lower case here and as they were written there.
                match here.iter().find(|(_, column)| column.eq_ignore_ascii_case(wanted)) {
                    Some((_, column)) => columns.push(quoted(column)),
                    None => none.push(format!("the column `{}.{wanted}`", from.name)),
                }
            }
            let columns = columns.join(", ");
            let select = format!("SELECT {columns} FROM {name}");
            let types = self.client.prepare(&select).await.map_err(server)?;
            let types = types.columns().iter().map(|column| column.type_().clone()).collect();
            pairs.push(Pair { from, name, columns, types });
        }
        if none.is_empty() { Ok(pairs) } else { Err(ImportError::NoPlace(none)) }
    }

    /// Copies all rows. Foreign keys are looked at when all are there, and triggers do not fire: what they do was done.
    async fn copy(&self, pairs: &[Pair<'_>]) -> Result<BTreeMap<(String, i64), i64>, ImportError> {
        let sql = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname), \
                   format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) \
                   FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND connamespace = current_schema()::regnamespace";
        let mut keys = Vec::new();
        for row in self.rows(sql, &[]).await? {
            self.batch(row.try_get(0).map_err(server)?).await?;
            keys.push(row.try_get::<_, String>(1).map_err(server)?);
        }
        let mut ends = BTreeMap::new();
        for pair in pairs {
            // What migrations and declarations have put there is among what comes.
            self.batch(&format!("ALTER TABLE {0} DISABLE TRIGGER USER; DELETE FROM {0}", pair.name)).await?;
            self.copy_table(pair, &mut ends).await?;
            self.batch(&format!(
                "SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {} ENABLE TRIGGER USER",
                pair.name
            ))
            .await?;
            self.move_sequences(pair).await?;
        }
        for key in keys {
            self.batch(&key).await?;
        }
        Ok(ends)
    }

    async fn copy_table(
        &self,
        pair: &Pair<'_>,
        ends: &mut BTreeMap<(String, i64), i64>,
    ) -> Result<(), ImportError> {
        let table = || pair.from.name.clone();
        let failed = |source| ImportError::Copy { table: table(), source };
        let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", pair.name, pair.columns);
        let sink = self.client.copy_in(&sql).await.map_err(|error| failed(store_error(error)))?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &pair.types));
        let mut batches = self.origin.rows(pair.from);
        let mut row = 0;
        while let Some(batch) = batches.recv().await {
            for values in batch.map_err(failed)?.into_iter().map(Row::into_values) {
                row += 1;
                if pair.from.name == "divisi_outbox" {
                    end_of(&pair.from.columns, &values, ends);
                }
                let bound: Vec<Bound<'_>> = values.iter().map(|value| Bound(value.borrowed())).collect();
                let written =
                    writer.as_mut().write_raw(bound.iter().map(|value| value as &(dyn ToSql + Sync)));
                written.await.map_err(|error| ImportError::Row {
                    table: table(),
                    row,
                    source: store_error(error),
                })?;
            }
        }
        writer.finish().await.map_err(|error| failed(store_error(error)))?;
        Ok(())
    }

    /// Numbers that the database gives go on after the highest that came.
    async fn move_sequences(&self, pair: &Pair<'_>) -> Result<(), ImportError> {
        let sql = "SELECT a.attname::text, pg_get_serial_sequence($1, a.attname) FROM pg_attribute a \
                   WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped \
                   AND pg_get_serial_sequence($1, a.attname) IS NOT NULL";
        for row in self.rows(sql, &[&pair.name]).await? {
            let (column, sequence): (String, String) =
                (row.try_get(0).map_err(server)?, row.try_get(1).map_err(server)?);
            let column = quoted(&column);
            let sql = format!(
                "SELECT setval($1::text::regclass, greatest(coalesce(max({column}), 1), 1), max({column}) IS NOT NULL) FROM {}",
                pair.name
            );
            self.rows(&sql, &[&sequence]).await?;
        }
        Ok(())
    }

    /// Writes down where all of it is from, and that no server has begun an epoch here.
    async fn remember(&self, now: divisi_store::Timestamp) -> Result<(), ImportError> {
        self.batch(
            "CREATE TABLE divisi_moved (one boolean PRIMARY KEY DEFAULT true CHECK (one), identity text NOT NULL, \
             epoch bigint NOT NULL, place text NOT NULL, at bigint NOT NULL)",
        )
        .await?;
        let (identity, epoch, what) = (self.origin.identity(), self.origin.epoch().0, self.origin.what());
        let sql = "INSERT INTO divisi_moved (identity, epoch, place, at) VALUES ($1, $2, $3, $4)";
        self.rows(sql, &[&identity, &epoch, &what, &now.0]).await?;
        self.rows("UPDATE divisi_meta SET epoch = $1, db_identity = $2", &[&epoch, &NOT_OPENED])
            .await
            .map(drop)
    }

    /// Counts the rows and looks at the ends of the lanes.
    async fn verify(&self, pairs: &[Pair<'_>], imported: &mut Imported) -> Result<(), ImportError> {
        for pair in pairs {
            let rows = self.rows(&format!("SELECT count(*) FROM {}", pair.name), &[]).await?;
            let found: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(server)?;
            let (found, wanted) = (found.unsigned_abs(), pair.from.rows);
            if found != wanted {
                let differs = format!("`{}` has {found} rows, not {wanted},", pair.from.name);
                return Err(ImportError::Differs(differs));
            }
            imported.tables.push((pair.from.name.clone(), found));
        }
        let mut ends = BTreeMap::new();
        let sql = "SELECT topic, lane::bigint, max(pos) FROM divisi_outbox GROUP BY topic, lane";
        for row in self.rows(sql, &[]).await? {
            let lane = (row.try_get(0).map_err(server)?, row.try_get(1).map_err(server)?);
            ends.insert(lane, row.try_get(2).map_err(server)?);
        }
        if !imported.was_there && ends != imported.ends {
            return Err(ImportError::Differs("the lanes of the log end elsewhere".to_owned()));
        }
        imported.ends = ends;
        Ok(())
    }

    async fn batch(&self, sql: &str) -> Result<(), ImportError> {
        self.client.batch_execute(sql).await.map_err(server)
    }

    async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, ImportError> {
        self.client.query(sql, params).await.map_err(server)
    }
}

fn server(error: tokio_postgres::Error) -> ImportError {
    ImportError::Server(store_error(error))
}

/// Moves the end of a lane to where this row of the log is, if it is further.
fn end_of(columns: &[String], values: &[Value], ends: &mut BTreeMap<(String, i64), i64>) {
    let of = |name: &str| columns.iter().position(|column| column == name).and_then(|n| values.get(n));
    if let (Some(Value::Text(topic)), Some(Value::Integer(lane)), Some(Value::Integer(pos))) =
        (of("topic"), of("lane"), of("pos"))
    {
        let end = ends.entry((topic.clone(), *lane)).or_insert(*pos);
        *end = (*end).max(*pos);
    }
}
