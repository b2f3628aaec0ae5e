//! Numbered SQL, applied once, checksummed.

use std::sync::Arc;

use crate::StoreError;
use crate::backend::{Dialect, Isolation};
use crate::error::StoreErrorKind;

/// One step of a database's shape. Once applied its text never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// 1, 2, 3 …
    pub version: u32,
    /// What it is about, for people.
    pub name: &'static str,
    /// The statements, for every dialect that has none of its own.
    pub sql: &'static str,
    /// The statements for PostgreSQL, where they must differ.
    pub postgres: Option<&'static str>,
}

/// What a service's database must be like before it serves.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// Its tables.
    pub migrations: Vec<Migration>,
    /// Whether its tables are taken as they are found, since another program has made them: `migrations` are then neither
    /// applied nor compared with what was.
    pub as_found: bool,
    /// The topics that it owns, each with [`LANES`](divisi_contract::event::LANES) lanes.
    pub topics: Vec<&'static str>,
    /// Who reads them: `(reader, topic)`. They are registered from the first start, so that retention keeps what they
    /// have not read.
    pub readers: Vec<(Arc<str>, &'static str)>,
    /// How strictly its transactions are kept apart.
    pub isolation: Isolation,
}

impl Migration {
    /// A migration.
    pub const fn new(version: u32, name: &'static str, sql: &'static str) -> Migration {
        Migration { version, name, sql, postgres: None }
    }

    /// The same, with other statements on PostgreSQL.
    #[must_use]
    pub const fn postgres(self, sql: &'static str) -> Migration {
        Migration { postgres: Some(sql), ..self }
    }

    /// Its statements in a dialect.
    pub fn sql(&self, dialect: Dialect) -> &'static str {
        match (dialect, self.postgres) {
            (Dialect::Postgres, Some(sql)) => sql,
            _ => self.sql,
        }
    }

    /// The hash that is stored beside it when it is applied in a dialect.
    pub fn checksum(&self, dialect: Dialect) -> i64 {
        xxhash_rust::xxh3::xxh3_64(self.sql(dialect).as_bytes()).cast_signed()
    }
}

impl Schema {
    /// Looks whether the migrations are numbered 1, 2, 3 … without a hole.
    pub fn check(&self) -> Result<(), StoreError> {
        for (expected, migration) in (1..).zip(&self.migrations) {
            if migration.version != expected {
                return Err(StoreError::new(
                    StoreErrorKind::Statement,
                    format!(
                        "migration `{}` has number {}, {expected} was expected",
                        migration.name, migration.version
                    ),
                ));
            }
        }
        Ok(())
    }
}
