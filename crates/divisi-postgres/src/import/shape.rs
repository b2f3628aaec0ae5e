//! The place of each table of the origin, and of each of its columns.

use divisi_store::origin::Table;
use tokio_postgres::types::Type;

use super::{ImportError, Part};
use crate::arrival::Visit;
use crate::place::quoted;

/// Tables of the framework that are not copied: they say what this database is.
const NOT_COPIED: [&str; 2] = ["divisi_migration", "divisi_meta"];

/// A table of the origin with its place here.
pub(super) struct Pair<'a> {
    pub(super) from: &'a Table,
    /// For messages: the database and the table.
    pub(super) title: String,
    /// Its name here, quoted.
    pub(super) name: String,
    /// Its columns here, quoted.
    pub(super) columns: String,
    pub(super) types: Vec<Type>,
}

/// Finds the place of each table; everything that has none is said at once. What needs none comes beside.
pub(super) async fn pairs<'a>(
    visit: Visit<'_>,
    part: &Part<'a>,
) -> Result<(Vec<Pair<'a>>, Vec<String>), ImportError> {
    let (mut pairs, mut missing, mut left_behind) = (Vec::new(), Vec::new(), Vec::new());
    for from in part.origin.tables().iter().filter(|table| !NOT_COPIED.contains(&&*table.name)) {
        let here = columns(visit, &from.name).await?;
        let title = format!("{}.{}", part.name, from.name);
        let Some((name, _)) = here.first() else {
            match (from.is_index, from.rows) {
                (true, _) => left_behind.push(title),
                (false, 0) => {}
                (false, rows) => missing.push(format!("the table `{}` with its {rows} rows", from.name)),
            }
            continue;
        };
        let mut columns = Vec::new();
        for wanted in &from.columns {
            // Names without quotes are lower case here, and as they were written there.
            let exact = here.iter().find(|(_, column)| column == wanted);
            match exact.or_else(|| here.iter().find(|(_, column)| column.eq_ignore_ascii_case(wanted))) {
                Some((_, column)) => columns.push(quoted(column)),
                None => missing.push(format!("the column `{}.{wanted}`", from.name)),
            }
        }
        let (name, columns) = (quoted(name), columns.join(", "));
        let types = types(visit, &name, &columns).await?;
        pairs.push(Pair { from, title, name, columns, types });
    }
    if missing.is_empty() {
        return Ok((pairs, left_behind));
    }
    Err(ImportError::NoPlace { database: part.name.to_string(), missing })
}

/// The table here that goes by `name`, with each column that can be written; as it is written there, if there is one.
async fn columns(visit: Visit<'_>, name: &str) -> Result<Vec<(String, String)>, ImportError> {
    let sql = "SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
               WHERE c.oid = (SELECT o.oid FROM pg_class o WHERE o.relnamespace = current_schema()::regnamespace \
                              AND o.relkind IN ('r', 'p') AND lower(o.relname) = lower($1) ORDER BY o.relname <> $1 LIMIT 1) \
               AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";
    let mut columns = Vec::new();
    for row in visit.rows(sql, &[&name]).await? {
        columns.push((visit.column(&row, 0)?, visit.column(&row, 1)?));
    }
    Ok(columns)
}

async fn types(visit: Visit<'_>, name: &str, columns: &str) -> Result<Vec<Type>, ImportError> {
    let statement = visit.client.prepare(&format!("SELECT {columns} FROM {name}")).await;
    let statement = statement
        .map_err(|error| crate::error::open_error(&visit.place.what, crate::error::store_error(error)))?;
    Ok(statement.columns().iter().map(|column| column.type_().clone()).collect())
}
