//! One connection: statements in, rows out, and what a service's SQL may not do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use divisi_store::{Row, StoreError, StoreErrorKind, Value, ValueRef};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization, Wal};
use rusqlite::types::{ToSqlOutput, ValueRef as SqlRef};
use rusqlite::{CachedStatement, Connection};

use crate::error::store_error;

mod known;
mod limit;
pub(crate) use known::Facts;
use known::Known;
pub(crate) use limit::Limit;

/// How many prepared statements a connection keeps.
const STATEMENTS_KEPT: usize = 256;
/// How many steps of SQLite's machine lie between two looks at the limit.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;

/// A connection with its guards.
pub(crate) struct Link {
    connection: Connection,
    /// Set while a statement of the framework's own is prepared: it may do what a service may not.
    ours: Arc<AtomicBool>,
    limit: Arc<Limit>,
    known: Known,
}

impl Link {
    /// Puts the guards on `connection`.
    pub(crate) fn new(mut connection: Connection, limit: Arc<Limit>) -> rusqlite::Result<Link> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let ours = Arc::new(AtomicBool::new(false));
        let is_ours = Arc::clone(&ours);
        connection.authorizer(Some(move |asked: AuthContext<'_>| {
            if is_ours.load(Ordering::Relaxed) { Authorization::Allow } else { allowed(&asked.action) }
        }))?;
        let looked_at = Arc::clone(&limit);
        connection.progress_handler(
            STEPS_BETWEEN_LOOKS,
            Some(move || looked_at.passed(u64::from(STEPS_BETWEEN_LOOKS.unsigned_abs()))),
        )?;
        Ok(Link { connection, ours, limit, known: Known::new() })
    }

    /// Calls `told` after each commit with the length of the write-ahead log in pages.
    pub(crate) fn after_commit(
        &mut self,
        mut told: impl FnMut(i32) + Send + 'static,
    ) -> rusqlite::Result<()> {
        self.connection.wal_hook(Some(move |_: &mut Wal, pages| {
            told(pages);
            Ok(())
        }))
    }

    /// A statement that needs a lock of another process fails at once from now on.
    pub(crate) fn waits_for_nobody(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(Duration::ZERO)
    }

    /// The limit of whoever runs statements now.
    pub(crate) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Whether no transaction is open.
    pub(crate) fn is_autocommit(&self) -> bool {
        self.connection.is_autocommit()
    }

    /// Runs a statement of the framework that a service may not write.
    pub(crate) fn control(&self, sql: &str) -> rusqlite::Result<()> {
        self.as_ours(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            Ok(())
        })
    }

    /// Runs the statements of a migration: many, without parameters, under the guards of a service's SQL.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.execute_batch(sql).map_err(store_error)
    }

    /// Gives `body` the bare connection, with the guards off.
    pub(crate) fn as_ours<T>(&self, body: impl FnOnce(&Connection) -> T) -> T {
        struct Off<'a>(&'a AtomicBool, bool);
        impl Drop for Off<'_> {
            fn drop(&mut self) {
                self.0.store(self.1, Ordering::Relaxed);
            }
        }
        let _off = Off(&self.ours, self.ours.swap(true, Ordering::Relaxed));
        body(&self.connection)
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: &[ValueRef<'_>]) -> Result<u64, StoreError> {
        let mut statement = self.prepare(sql, params)?;
        let changed = statement.raw_execute().map_err(store_error)?;
        Ok(changed as u64)
    }

    /// Runs a query; its rows.
    pub(crate) fn query(&self, sql: &str, params: &[ValueRef<'_>]) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.prepare(sql, params)?;
        let n_columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(store_error)? {
            let mut values = Vec::with_capacity(n_columns);
            for column in 0..n_columns {
                values.push(value(row.get_ref(column).map_err(store_error)?)?);
            }
            found.push(Row::new(values));
        }
        Ok(found)
    }

    /// What the text of a statement says.
    pub(crate) fn facts(&self, sql: &str) -> Facts {
        self.known.of(sql)
    }

    fn prepare(&self, sql: &str, params: &[ValueRef<'_>]) -> Result<CachedStatement<'_>, StoreError> {
        let facts = self.known.of(sql);
        if facts.rolls_back {
            return Err(rollback_clause());
        }
        let mut statement = self.connection.prepare_cached(sql).map_err(store_error)?;
        if statement.parameter_count() != params.len() {
            return Err(parameters(&statement, params.len()));
        }
        let mut in_order = true;
        for place in 1..=params.len() {
            let number = if facts.in_order { Some(place) } else { number(&statement, place) };
            let Some(bound) = number.and_then(|number| params.get(number.checked_sub(1)?)) else {
                return Err(parameters(&statement, params.len()));
            };
            in_order = in_order && number == Some(place);
            statement
                .raw_bind_parameter(place, ToSqlOutput::Borrowed(borrowed(*bound)))
                .map_err(store_error)?;
        }
        if in_order && !facts.in_order {
            self.known.learn(sql, Facts { in_order, ..facts });
        }
        Ok(statement)
    }
}

/// Which parameter has a place: `$1` is a name in SQLite, and its place is that of its first use.
fn number(statement: &CachedStatement<'_>, place: usize) -> Option<usize> {
    statement.parameter_name(place)?.get(1..)?.parse().ok()
}

/// What a `ROLLBACK` clause is answered.
pub(crate) fn rollback_clause() -> StoreError {
    StoreError::new(
        StoreErrorKind::Forbidden,
        "ROLLBACK as a conflict clause or in RAISE would undo the work of others too; use ABORT (a column of that name needs quotes)",
    )
}

fn parameters(statement: &CachedStatement<'_>, given: usize) -> StoreError {
    StoreError::new(
        StoreErrorKind::Statement,
        format!(
            "the statement has {} parameters, {given} values were given; parameters are `$1`, `$2` … without a hole",
            statement.parameter_count()
        ),
    )
}

fn allowed(action: &AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::Attach { .. }
        | AuthAction::Detach { .. } => Authorization::Deny,
        AuthAction::Pragma { pragma_name, .. } if is_harmless(pragma_name) => Authorization::Allow,
        AuthAction::Pragma { .. } => Authorization::Deny,
        _ => Authorization::Allow,
    }
}

/// Full-text search asks for the first by itself, to see whether its index is still fresh; retention needs the others.
fn is_harmless(pragma: &str) -> bool {
    let harmless = ["data_version", "freelist_count", "incremental_vacuum"];
    harmless.iter().any(|name| pragma.eq_ignore_ascii_case(name))
}

fn borrowed(value: ValueRef<'_>) -> SqlRef<'_> {
    match value {
        ValueRef::Null => SqlRef::Null,
        ValueRef::Integer(n) => SqlRef::Integer(n),
        ValueRef::Real(n) => SqlRef::Real(n),
        ValueRef::Bool(truth) => SqlRef::Integer(i64::from(truth)),
        ValueRef::Text(text) => SqlRef::Text(text.as_bytes()),
        ValueRef::Blob(bytes) => SqlRef::Blob(bytes),
    }
}

/// A value that SQLite found.
pub(crate) fn value(found: SqlRef<'_>) -> Result<Value, StoreError> {
    Ok(match found {
        SqlRef::Null => Value::Null,
        SqlRef::Integer(n) => Value::Integer(n),
        SqlRef::Real(n) => Value::Real(n),
        SqlRef::Text(bytes) => Value::Text(
            std::str::from_utf8(bytes)
                .map_err(|error| {
                    StoreError::new(StoreErrorKind::Type, "a text in the database is not UTF-8")
                        .with_source(error)
                })?
                .to_owned(),
        ),
        SqlRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}
