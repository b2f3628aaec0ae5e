//! Whether the open transaction has broken a deferred foreign key.
//!
//! SQLite looks at COMMIT, where a group cannot say any more whose fault it is. Its own counter has no safe binding,
//! but one can be seen at work: an update of a row with a deferred key looks for a repaired key only while the
//! counter is not zero, and that takes one step more. A table in memory is there for this alone. At the start we try
//! whether the steps do tell; where they do not, a broken key fails the COMMIT of its whole group, which is safe.

use rusqlite::{Connection, StatementStatus};

use crate::link::Link;
use crate::scan;

const PROBE: &str = "UPDATE temp.divisi_probe_child SET parent = NULL WHERE id = 1";

/// Watches deferred keys, where a schema has any.
pub(crate) struct Deferred {
    /// How many steps the probe takes while a key is broken; none where the steps do not tell.
    broken_steps: Option<i32>,
    /// Whether the service can have broken one at all.
    possible: bool,
}

impl Deferred {
    /// Finds out what a broken key looks like. No transaction is open.
    pub(crate) fn new(link: &Link) -> rusqlite::Result<Deferred> {
        link.as_ours(|connection| {
            let possible = connection
                .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?
                .query_map([], |row| row.get::<_, String>(0))?
                .any(|sql| sql.is_ok_and(|sql| scan::has_deferred_key(&sql)));
            Ok(Deferred { broken_steps: learn(connection)?, possible })
        })
    }

    /// A statement of the service may bring a deferred key.
    pub(crate) fn comes(&mut self) {
        self.possible = true;
    }

    /// Whether a deferred key is broken now.
    pub(crate) fn is_broken(&self, link: &Link) -> rusqlite::Result<bool> {
        match self.broken_steps {
            Some(broken) if self.possible => link.as_ours(probe).map(|steps| steps == broken),
            _ => Ok(false),
        }
    }
}

fn learn(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    connection.execute_batch(
        "CREATE TEMP TABLE divisi_probe_parent (id INTEGER PRIMARY KEY); \
         CREATE TEMP TABLE divisi_probe_child (id INTEGER PRIMARY KEY, \
         parent INTEGER REFERENCES divisi_probe_parent (id) DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO temp.divisi_probe_child (id, parent) VALUES (1, NULL);",
    )?;
    let whole = probe(connection)?;
    connection.execute_batch("BEGIN; INSERT INTO temp.divisi_probe_child (id, parent) VALUES (2, 7)")?;
    let broken = probe(connection);
    connection.execute_batch("ROLLBACK")?;
    let broken = broken?;
    if whole == broken {
        tracing::warn!("deferred foreign keys can only be checked when a group commits");
        return Ok(None);
    }
    Ok(Some(broken))
}

fn probe(connection: &Connection) -> rusqlite::Result<i32> {
    let mut statement = connection.prepare_cached(PROBE)?;
    statement.reset_status(StatementStatus::VmStep);
    statement.raw_execute()?;
    Ok(statement.reset_status(StatementStatus::VmStep))
}
