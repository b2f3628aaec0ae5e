//! Bringing a database to the shape that this program knows, before it serves.

use std::collections::BTreeMap;

use divisi_contract::event::LANES;
use divisi_store::{Dialect, Migration, OpenError, Schema, StoreError, StoreErrorKind, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::store_error;
use crate::link::{Link, rollback_clause};
use crate::scan;

/// The framework's own tables.
pub(crate) const OWN: [Migration; 1] =
    [Migration::new(1, "the framework's tables", include_str!("../migrations/0001_divisi.sql"))];

/// Applies what is missing, each migration in a transaction of its own, and looks whose database it is.
pub(crate) fn migrate(
    link: &Link,
    what: &str,
    source: &str,
    schema: &Schema,
    now: Timestamp,
) -> Result<(), OpenError> {
    let other = |source| OpenError::Other { what: what.to_owned(), source };
    schema.check().map_err(other)?;
    let damaged = |error| failed(what, error);
    link.as_ours(|connection| {
        begin(connection, |connection| {
            connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS divisi_migration (owner TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, \
                 checksum INTEGER NOT NULL, applied_at INTEGER NOT NULL, PRIMARY KEY (owner, version)) STRICT, WITHOUT ROWID",
            )
        })
    })
    .map_err(damaged)?;
    apply(link, what, "divisi", &OWN, now)?;
    whose(link, what, source)?;
    if !schema.as_found {
        apply(link, what, "service", &schema.migrations, now)?;
    }
    link.as_ours(|connection| declare(connection, what, schema, now))
}

fn apply(
    link: &Link,
    what: &str,
    owner: &str,
    wanted: &[Migration],
    now: Timestamp,
) -> Result<(), OpenError> {
    let applied: BTreeMap<u32, i64> = link
        .as_ours(|connection| {
            connection
                .prepare("SELECT version, checksum FROM divisi_migration WHERE owner = ?1")?
                .query_map([owner], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()
        })
        .map_err(|error| failed(what, error))?;
    let known = wanted.last().map_or(0, |migration| migration.version);
    if let Some((&found, _)) = applied.last_key_value()
        && found > known
    {
        return Err(OpenError::Newer { what: what.to_owned(), found, known });
    }
    for migration in wanted {
        match applied.get(&migration.version) {
            Some(checksum) if *checksum == migration.checksum(Dialect::Sqlite) => continue,
            Some(_) => {
                return Err(OpenError::Changed { what: what.to_owned(), version: migration.version });
            }
            None => {}
        }
        step(link, owner, migration, now).map_err(|source| OpenError::Migration {
            what: what.to_owned(),
            version: migration.version,
            source,
        })?;
    }
    Ok(())
}

fn step(link: &Link, owner: &str, migration: &Migration, now: Timestamp) -> Result<(), StoreError> {
    if scan::has_rollback(migration.sql) {
        return Err(rollback_clause());
    }
    link.control("BEGIN IMMEDIATE").map_err(store_error)?;
    let done = link.batch(migration.sql).and_then(|()| {
        if link.is_autocommit() {
            return Err(StoreError::new(
                StoreErrorKind::Forbidden,
                "the migration ended its own transaction",
            ));
        }
        link.as_ours(|connection| {
            connection.execute(
                "INSERT INTO divisi_migration (owner, version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![owner, migration.version, migration.name, migration.checksum(Dialect::Sqlite), now.0],
            )
        })
        .map_err(store_error)?;
        link.control("COMMIT").map_err(store_error)
    });
    if done.is_err() && !link.is_autocommit() {
        link.control("ROLLBACK").map_err(store_error)?;
    }
    done
}

/// Writes whose database it is, or refuses one that is somebody else's.
fn whose(link: &Link, what: &str, source: &str) -> Result<(), OpenError> {
    let found: Option<String> = link
        .as_ours(|connection| {
            connection.query_row("SELECT source FROM divisi_meta", [], |row| row.get(0)).optional()
        })
        .map_err(|error| failed(what, error))?;
    match found {
        Some(found) if found != source => {
            Err(OpenError::Foreign { what: what.to_owned(), found, expected: source.to_owned() })
        }
        Some(_) => Ok(()),
        None => link
            .as_ours(|connection| {
                let identity = format!("{:016x}", fastrand::u64(..));
                connection.execute(
                    "INSERT INTO divisi_meta (source, epoch, db_identity) VALUES (?1, 0, ?2)",
                    params![source, identity],
                )
            })
            .map(drop)
            .map_err(|error| failed(what, error)),
    }
}

/// Declares topics with their lanes, and registers those who read them at 0, so that nothing is deleted before them.
fn declare(connection: &Connection, what: &str, schema: &Schema, now: Timestamp) -> Result<(), OpenError> {
    let mut wrong = None;
    begin(connection, |connection| {
        for topic in &schema.topics {
            connection.execute(
                "INSERT INTO divisi_topic (topic, lanes) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![topic, LANES],
            )?;
            let found: i64 = connection.query_row(
                "SELECT lanes FROM divisi_topic WHERE topic = ?1",
                [topic],
                |row| row.get(0),
            )?;
            if found != i64::from(LANES) {
                wrong.get_or_insert(((*topic).to_owned(), found));
            }
            for lane in 0..LANES {
                connection
                    .prepare_cached("INSERT INTO divisi_lane (topic, lane) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                    .execute(params![topic, lane])?;
            }
        }
        for (reader, topic) in &schema.readers {
            for lane in 0..LANES {
                connection
                    .prepare_cached(
                        "INSERT INTO divisi_reader (reader, topic, lane, seen_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![&**reader, topic, lane, now.0])?;
            }
        }
        Ok(())
    })
    .map_err(|error| failed(what, error))?;
    match wrong {
        Some((topic, found)) => Err(OpenError::Lanes { topic, found, wanted: i64::from(LANES) }),
        None => Ok(()),
    }
}

/// Runs `body` in a transaction of the framework's own.
pub(crate) fn begin<T>(
    connection: &Connection,
    body: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = body(connection).and_then(|value| connection.execute_batch("COMMIT").map(|()| value));
    if done.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    done
}

fn failed(what: &str, error: rusqlite::Error) -> OpenError {
    crate::connect::open_error(std::path::Path::new(what), error)
}
