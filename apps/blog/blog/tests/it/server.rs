//! A service's tables on a real PostgreSQL server, beside those in files.

use std::fmt::Display;
use std::future::Future;

use divisi_servers::Postgres;
use rusqlite::Connection;
use serde_json::Value;

use crate::tables::Base;

/// A database of either kind.
pub(crate) enum Either<'a> {
    File(Connection),
    Server(Database<'a>),
}

impl Base for Either<'_> {
    fn pairs(&self, sql: &str) -> Vec<(String, String)> {
        match self {
            Either::File(file) => file.pairs(sql),
            Either::Server(database) => database.pairs(sql),
        }
    }

    fn log(&self) -> Vec<(String, String, Vec<u8>)> {
        match self {
            Either::File(file) => file.log(),
            Either::Server(database) => database.log(),
        }
    }
}

/// A service's own tables, or those of a version of its projection.
pub(crate) struct Database<'a> {
    pub(crate) server: &'a Postgres,
    pub(crate) name: String,
    pub(crate) schema: &'static str,
}

impl Database<'_> {
    /// The rows of a query as arrays of texts.
    pub(crate) fn rows(&self, columns: &str, sql: &str) -> Vec<Vec<String>> {
        let schema = self.schema;
        let sql = format!(
            "SET search_path TO {schema}; SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM ({sql}) AS x (a, b, c)"
        );
        let text = wait(self.server.sql_in(&self.name, sql));
        let rows: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        serde_json::from_value(rows).expect("texts")
    }
}

impl Base for Database<'_> {
    fn pairs(&self, sql: &str) -> Vec<(String, String)> {
        let sql = format!("SELECT q.*, 0 FROM ({sql}) AS q");
        let rows = self.rows("a::text, b::text", &sql);
        rows.into_iter().map(|row| <[String; 2]>::try_from(row).expect("two columns").into()).collect()
    }

    fn log(&self) -> Vec<(String, String, Vec<u8>)> {
        let sql = "SELECT key, type, payload FROM divisi_outbox ORDER BY topic, lane, pos";
        let rows = self.rows("a, b, convert_from(c, 'UTF8')", sql).into_iter();
        rows.map(|row| {
            let [key, kind, payload] = <[String; 3]>::try_from(row).expect("three columns");
            (key, kind, payload.into_bytes())
        })
        .collect()
    }
}

/// Waits for what the launcher does.
pub(crate) fn wait<T, E: Display>(work: impl Future<Output = Result<T, E>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}
