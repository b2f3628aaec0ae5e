//! Bringing a database to the shape that this program knows, before it serves.
//!
//! Instances that start together do it one after the other, behind a lock on the schema's name.

use std::collections::BTreeMap;

use deadpool_postgres::ClientWrapper;
use divisi_contract::event::LANES;
use divisi_store::{Dialect, Migration, OpenError, Schema, StoreError, StoreErrorKind, Timestamp};
use tokio_postgres::Error;
use tokio_postgres::types::{FromSql, ToSql};

use crate::arrival;
use crate::error::{open_error, store_error};
use crate::place::Place;

/// The framework's own tables.
const OWN: [Migration; 4] = [
    Migration::new(1, "the framework's tables", include_str!("../migrations/0001_divisi.sql")),
    Migration::new(2, "a faster append", include_str!("../migrations/0002_append.sql")),
    Migration::new(3, "an append in sets", include_str!("../migrations/0003_append_sets.sql")),
    Migration::new(4, "the staged outbox", include_str!("../migrations/0004_staged.sql")),
];

/// What the lock is taken on, beside the schema: any number that nobody else takes.
const LOCK: i32 = 0x00d1_7151;

/// A connection that migrates. It is not given back to the pool unless all went well.
pub(crate) struct Migrating<'a> {
    client: &'a ClientWrapper,
    place: &'a Place,
    now: Timestamp,
    /// Whether each migration has a transaction of its own; else one is open around all.
    each_alone: bool,
}

/// Makes the schema, applies what is missing, each migration in a transaction of its own, and looks whose database it is.
///
/// No limit of time holds here: a migration takes what it takes, and so does waiting for another instance's.
pub(crate) async fn migrate(
    client: &ClientWrapper,
    place: &Place,
    source: &str,
    schema: &Schema,
    now: Timestamp,
) -> Result<(), OpenError> {
    let this = Migrating { client, place, now, each_alone: true };
    alone(client, place).await?;
    this.batch(&format!("CREATE SCHEMA IF NOT EXISTS {}", place.schema)).await.or_else(|error| {
        // A role that owns its schema need not be one that may make others.
        if matches!(&error, OpenError::Server { source, .. } if crate::error::code(source) == Some("42501")) {
            Ok(())
        } else {
            Err(error)
        }
    })?;
    this.tables(source, schema).await?;
    this.declare(schema).await
}

/// Takes the limits of time off a connection and waits for whoever migrates the schema that it is set to: nobody else
/// does as long as it lives.
pub(crate) async fn alone(client: &ClientWrapper, place: &Place) -> Result<(), OpenError> {
    let sql = format!(
        "SET statement_timeout TO 0; SET lock_timeout TO 0; SET idle_in_transaction_session_timeout TO 0; \
         SELECT pg_advisory_lock({LOCK}, hashtext(current_database() || '/' || current_setting('search_path')))"
    );
    client.batch_execute(&sql).await.map_err(|error| open_error(&place.what, store_error(error)))
}

/// Makes all tables of an empty schema in the transaction that is open. Topics and readers are not declared.
pub(crate) async fn within(
    client: &ClientWrapper,
    place: &Place,
    source: &str,
    schema: &Schema,
    now: Timestamp,
) -> Result<(), OpenError> {
    Migrating { client, place, now, each_alone: false }.tables(source, schema).await
}

impl Migrating<'_> {
    async fn tables(&self, source: &str, schema: &Schema) -> Result<(), OpenError> {
        schema.check().map_err(|source| OpenError::Other { what: self.place.what.clone(), source })?;
        self.batch(
            "CREATE TABLE IF NOT EXISTS divisi_migration (owner text NOT NULL, version int NOT NULL, name text NOT NULL, \
             checksum bigint NOT NULL, applied_at bigint NOT NULL, PRIMARY KEY (owner, version))",
        )
        .await?;
        self.apply("divisi", &OWN).await?;
        self.whose(source).await?;
        if schema.as_found {
            return Ok(());
        }
        self.apply("service", &schema.migrations).await
    }

    async fn apply(&self, owner: &str, wanted: &[Migration]) -> Result<(), OpenError> {
        let what = || self.place.what.clone();
        let rows =
            self.query("SELECT version, checksum FROM divisi_migration WHERE owner = $1", &[&owner]).await?;
        let mut applied: BTreeMap<u32, i64> = BTreeMap::new();
        for row in &rows {
            let version: i32 = self.column(row, 0)?;
            applied.insert(u32::try_from(version).unwrap_or_default(), self.column(row, 1)?);
        }
        let known = wanted.last().map_or(0, |migration| migration.version);
        if let Some((&found, _)) = applied.last_key_value()
            && found > known
        {
            return Err(OpenError::Newer { what: what(), found, known });
        }
        for migration in wanted {
            match applied.get(&migration.version) {
                Some(checksum) if *checksum == migration.checksum(Dialect::Postgres) => continue,
                Some(_) => return Err(OpenError::Changed { what: what(), version: migration.version }),
                None => {}
            }
            if let Err(source) = self.step(owner, migration).await {
                return Err(OpenError::Migration { what: what(), version: migration.version, source });
            }
        }
        Ok(())
    }

    async fn step(&self, owner: &str, migration: &Migration) -> Result<(), StoreError> {
        let stepped = self.inside(owner, migration).await;
        if stepped.is_err() {
            // Outside a transaction it is a warning and no more.
            self.client.batch_execute("ROLLBACK").await.map_err(store_error)?;
        }
        stepped
    }

    async fn inside(&self, owner: &str, migration: &Migration) -> Result<(), StoreError> {
        if self.each_alone {
            self.client.batch_execute("BEGIN").await.map_err(store_error)?;
        }
        let before = self.transaction_id().await?;
        self.client.batch_execute(migration.sql(Dialect::Postgres)).await.map_err(store_error)?;
        if self.transaction_id().await? != before {
            return Err(StoreError::new(
                StoreErrorKind::Forbidden,
                "the migration ended its own transaction",
            ));
        }
        let sql = "INSERT INTO divisi_migration (owner, version, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)";
        let version = i32::try_from(migration.version).unwrap_or(i32::MAX);
        let checksum = migration.checksum(Dialect::Postgres);
        let params: &[&(dyn ToSql + Sync)] = &[&owner, &version, &migration.name, &checksum, &self.now.0];
        self.client.execute(sql, params).await.map_err(store_error)?;
        match self.each_alone {
            true => self.client.batch_execute("COMMIT").await.map_err(store_error),
            false => Ok(()),
        }
    }

    async fn transaction_id(&self) -> Result<String, StoreError> {
        let row =
            self.client.query_one("SELECT pg_current_xact_id()::text", &[]).await.map_err(store_error)?;
        row.try_get(0).map_err(store_error)
    }

    /// Writes whose database it is, or refuses one that is somebody else's. Its first epoch begins when it is opened.
    async fn whose(&self, source: &str) -> Result<(), OpenError> {
        self.query(
            "INSERT INTO divisi_meta (source, epoch, db_identity) VALUES ($1, 0, divisi_identity()) ON CONFLICT DO NOTHING",
            &[&source],
        )
        .await?;
        let rows = self.query("SELECT source FROM divisi_meta", &[]).await?;
        let found: Option<String> = rows.first().map(|row| self.column(row, 0)).transpose()?;
        match found {
            Some(found) if found == arrival::arriving(source) => {
                Err(OpenError::Unfinished { what: self.place.what.clone(), service: source.to_owned() })
            }
            Some(found) if found != source => {
                Err(OpenError::Foreign { what: self.place.what.clone(), found, expected: source.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Declares topics with their lanes, and registers those who read them at 0, so that nothing is deleted before them.
    async fn declare(&self, schema: &Schema) -> Result<(), OpenError> {
        let lanes = i32::from(LANES);
        for topic in &schema.topics {
            self.query(
                "INSERT INTO divisi_topic (topic, lanes) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[topic, &lanes],
            )
            .await?;
            let rows = self.query("SELECT lanes FROM divisi_topic WHERE topic = $1", &[topic]).await?;
            let found: i32 = rows.first().map_or(Ok(lanes), |row| self.column(row, 0))?;
            if found != lanes {
                let (found, wanted) = (found.into(), lanes.into());
                return Err(OpenError::Lanes { topic: (*topic).to_owned(), found, wanted });
            }
            let sql = "INSERT INTO divisi_lane (topic, lane) SELECT $1, lane FROM generate_series(0, $2 - 1) AS lane ON CONFLICT DO NOTHING";
            self.query(sql, &[topic, &lanes]).await?;
        }
        for (reader, topic) in &schema.readers {
            let sql = "INSERT INTO divisi_reader (reader, topic, lane, seen_at) SELECT $1, $2, lane, $4 \
                       FROM generate_series(0, $3 - 1) AS lane ON CONFLICT DO NOTHING";
            self.query(sql, &[&&**reader, topic, &lanes, &self.now.0]).await?;
        }
        Ok(())
    }

    async fn batch(&self, sql: &str) -> Result<(), OpenError> {
        self.client.batch_execute(sql).await.map_err(|error| self.failed(error))
    }

    async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, OpenError> {
        self.client.query(sql, params).await.map_err(|error| self.failed(error))
    }

    fn column<'a, T: FromSql<'a>>(&self, row: &'a tokio_postgres::Row, n: usize) -> Result<T, OpenError> {
        row.try_get(n).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Error) -> OpenError {
        open_error(&self.place.what, store_error(error))
    }
}
