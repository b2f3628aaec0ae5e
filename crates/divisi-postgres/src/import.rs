//! A service's databases that come from another engine, whole: its own tables, the framework's, and its projections.
//!
//! All of it is one transaction, the tables' making too: until its COMMIT the place is as empty as it was, whatever is
//! killed. A rehearsal is the same transaction, taken back.
//!
//! What comes stands in an epoch that is not of this server, so the first start begins one of its own above the newest
//! that was copied, with the copied ends as its forks: to whoever reads the log it is one more start.

mod copy;
mod digest;
mod shape;

use divisi_store::{OpenError, Origin, Schema, StoreError, StoreName};

use crate::arrival::{Arrival, Visit, arriving};
use crate::backend::Postgres;
use crate::error::{is_lost, open_error, store_error};
use crate::migrate;

/// A database of a service, and where it comes from.
pub struct Part<'a> {
    /// The service's own, or a version of a projection.
    pub name: StoreName,
    /// Its tables on PostgreSQL.
    pub schema: &'a Schema,
    /// What is copied.
    pub origin: &'a dyn Origin,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Each table.
    pub tables: Vec<ImportedTable>,
    /// What has no place here and needs none: an index that looked like a table.
    pub left_behind: Vec<String>,
}

/// A table that was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedTable {
    /// The database and the table: `comments.comments`.
    pub name: String,
    /// Its rows, as counted here.
    pub rows: u64,
    /// The bytes of their values.
    pub bytes: u64,
}

/// Why nothing was copied. The place is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The place cannot be used, or its server failed.
    #[error(transparent)]
    Place(#[from] OpenError),
    /// The place holds something.
    #[error("{what} is not empty: {found} is there; name a database of its own for the service")]
    NotEmpty {
        /// The place.
        what: String,
        /// The first thing that is there.
        found: String,
    },
    /// The place holds the copy of another file.
    #[error(
        "{what} holds what an unfinished move of another file of `{service}` has brought; end that move where it was begun, or take it back there with `--back`"
    )]
    AnotherFile {
        /// The place.
        what: String,
        /// The service.
        service: String,
    },
    /// The service's tables on PostgreSQL have no place for something.
    #[error("the tables of `{database}` on PostgreSQL have no place for {}; add it to the migration's text for PostgreSQL", missing.join(", "))]
    NoPlace {
        /// The database.
        database: String,
        /// What: tables with rows, columns.
        missing: Vec<String>,
    },
    /// A value does not fit.
    #[error(
        "`{table}`, {row}: the value of `{column}` does not fit its column on PostgreSQL; correct it there, or the migration here"
    )]
    Value {
        /// The database and the table.
        table: String,
        /// Which row.
        row: String,
        /// The column.
        column: String,
        /// Why.
        source: StoreError,
    },
    /// A row breaks a rule of its table.
    #[error("`{table}`, {row}: PostgreSQL does not take the row; correct it there, or the migration here")]
    Row {
        /// The database and the table.
        table: String,
        /// Which row.
        row: String,
        /// Why.
        source: StoreError,
    },
    /// A rule between tables is broken.
    #[error("the rows of `{database}` break a foreign key of its tables on PostgreSQL")]
    ForeignKey {
        /// The database.
        database: String,
        /// Which, and by what.
        source: StoreError,
    },
    /// The origin cannot be read.
    #[error("`{table}` cannot be read")]
    Origin {
        /// The database and the table.
        table: String,
        /// Why.
        source: StoreError,
    },
    /// What was found here is not what was sent.
    #[error("`{table}` is not the same afterwards: {found} instead of {sent}; nothing was kept")]
    Differs {
        /// The database and the table.
        table: String,
        /// What was sent.
        sent: String,
        /// What was found.
        found: String,
    },
    /// It is not known whether it was kept. Another run finds out.
    #[error("it is not known whether the copy was kept; run the same again")]
    Unknown(#[source] StoreError),
}

impl Postgres {
    /// Copies `parts`, the service's own database first, to its empty place, where no service can start on it before
    /// [`Postgres::arrived`]. A copy of the same file that has not arrived is replaced. With `keep` off it is a rehearsal,
    /// which leaves nothing.
    ///
    /// # Errors
    ///
    /// Whatever is in the way: then nothing is there. [`ImportError::Unknown`] alone leaves that open.
    pub async fn import(&self, parts: &[Part<'_>], keep: bool) -> Result<Imported, ImportError> {
        let Some(own) = parts.first() else { return Ok(Imported::default()) };
        let stay = self.stay(&own.name).await?;
        let visit = stay.visit();
        visit.batch("BEGIN").await?;
        make_room(visit, own).await?;
        let mut imported = Imported::default();
        for part in parts {
            let (place, _) = self.place(&part.name)?;
            self.take_in(Visit { place: &place, ..visit }, part, &mut imported).await?;
        }
        visit.batch(&format!("SET LOCAL search_path TO {}", visit.place.schema)).await?;
        only_these_projections(visit, parts).await?;
        if !keep {
            visit.batch("ROLLBACK").await?;
            return Ok(imported);
        }
        match visit.client.batch_execute("COMMIT").await {
            Ok(()) => Ok(imported),
            Err(error) if is_lost(&error) => Err(ImportError::Unknown(store_error(error))),
            Err(error) => Err(open_error(&visit.place.what, store_error(error)).into()),
        }
    }

    async fn take_in(
        &self,
        visit: Visit<'_>,
        part: &Part<'_>,
        imported: &mut Imported,
    ) -> Result<(), ImportError> {
        enter(visit).await?;
        // Nobody starts on it, whatever a migration does to the transaction.
        let source = match part.name.projection {
            None => arriving(&part.name),
            Some(_) => part.name.to_string(),
        };
        let now = self.options.clock.now();
        migrate::within(visit.client, visit.place, &source, part.schema, now).await?;
        copy::all(visit, part, imported).await?;
        visit.came_from(part.origin).await?;
        Ok(())
    }
}

/// Looks whether the place is empty, and takes away what an earlier run has left.
async fn make_room(visit: Visit<'_>, own: &Part<'_>) -> Result<(), ImportError> {
    let what = || visit.place.what.clone();
    match visit.look(&own.name).await? {
        Arrival::Empty => Ok(()),
        Arrival::Arriving(from) if from.identity == own.origin.identity() => Ok(visit.clear().await?),
        Arrival::Arriving(_) => {
            Err(ImportError::AnotherFile { what: what(), service: own.name.service.to_string() })
        }
        Arrival::Arrived(_) | Arrival::Lived => {
            Err(ImportError::NotEmpty { what: what(), found: format!("the database of `{}`", own.name) })
        }
        Arrival::Taken(found) => Err(ImportError::NotEmpty { what: what(), found }),
    }
}

/// Goes to a schema, makes it if it is not there, and looks whether it is empty.
async fn enter(visit: Visit<'_>) -> Result<(), ImportError> {
    let place = visit.place;
    let sql = "SELECT to_regnamespace($1) IS NULL";
    let rows = visit.rows(sql, &[&place.schema]).await?;
    if rows.first().map_or(Ok(false), |row| visit.column(row, 0))? {
        visit.batch(&format!("CREATE SCHEMA {}", place.schema)).await?;
    }
    visit.batch(&format!("SET LOCAL search_path TO {}", place.schema)).await?;
    match visit.first_thing().await? {
        None => Ok(()),
        Some(found) => Err(ImportError::NotEmpty { what: place.what.clone(), found }),
    }
}

/// The versions of projections that came are those that there are.
async fn only_these_projections(visit: Visit<'_>, parts: &[Part<'_>]) -> Result<(), ImportError> {
    let projections = parts.iter().filter_map(|part| part.name.projection.clone());
    let came: Vec<String> = projections.map(|(projection, _)| projection).collect();
    visit.rows("DELETE FROM divisi_projection WHERE name <> ALL($1)", &[&came]).await?;
    let sql = "UPDATE divisi_projection SET previous = NULL, previous_until = NULL";
    visit.rows(sql, &[]).await?;
    Ok(())
}
