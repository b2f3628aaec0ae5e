//! What one writes by hand: a SQLite file and a plain transaction. The tables are those of Divisi's own file.

use std::path::Path;

use anyhow::Context;
use divisi::contract::event::{LANES, lane_of};
use divisi::{Event, Migration};
use rusqlite::{Connection, params};

use super::sale::{HEAR, SELL, Sold};

const OUTBOX: &str = "INSERT INTO divisi_outbox (topic, lane, pos, epoch, type, schema_v, key, headers, payload, at) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const WATERMARK: &str = "INSERT INTO divisi_watermark (consumer, source, topic, lane, epoch, pos, updated_at) \
                         VALUES ('listener', 'shop', 'sales', ?1, 1, ?2, ?3) \
                         ON CONFLICT (consumer, source, topic, lane) DO UPDATE SET pos = excluded.pos, updated_at = excluded.updated_at";
/// A trace and a cause, as long as those of Divisi's own rows.
const HEADERS: &str = r#"{"traceparent":"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}"#;

/// A file with one connection.
pub(super) struct Plain {
    connection: Connection,
    ends: Vec<i64>,
}

impl Plain {
    /// A new file at `path`, with the tables of `like` and of `migration`.
    pub(super) fn create(path: &Path, like: &Path, migration: &Migration) -> anyhow::Result<Plain> {
        let tables = Connection::open(like)?
            .prepare("SELECT sql FROM sqlite_master WHERE name IN ('divisi_outbox', 'divisi_watermark')")?
            .query_map([], |row| row.get::<_, String>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        let connection = Connection::open(path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        for sql in tables {
            connection.execute_batch(&sql)?;
        }
        connection.execute_batch(migration.sql)?;
        Ok(Plain { connection, ends: vec![0; usize::from(LANES)] })
    }

    /// One sale in one transaction.
    pub(super) fn sell(&mut self, sold: &Sold) -> anyhow::Result<()> {
        self.begin()?;
        self.sale(sold)?;
        self.commit()
    }

    /// The rows of a sale: the shelf and the event.
    pub(super) fn sale(&mut self, sold: &Sold) -> anyhow::Result<()> {
        self.connection.prepare_cached(SELL)?.execute([sold.shelf as i64])?;
        let key = sold.key();
        let lane = lane_of(&key, LANES);
        let end = self.ends.get_mut(usize::from(lane)).context("a lane beyond the last")?;
        *end += 1;
        let payload = serde_json::to_vec(sold)?;
        self.connection.prepare_cached(OUTBOX)?.execute(params![
            Sold::TOPIC,
            lane,
            *end,
            1,
            Sold::NAME,
            Sold::VERSION,
            key,
            HEADERS,
            payload,
            sold.n as i64
        ])?;
        Ok(())
    }

    /// The row of a listener.
    pub(super) fn hear(&self, sold: &Sold) -> anyhow::Result<()> {
        self.connection.prepare_cached(HEAR)?.execute(params![sold.shelf as i64, sold.note])?;
        Ok(())
    }

    /// Moves a lane's watermark.
    pub(super) fn watermark(&self, lane: u16, pos: i64) -> anyhow::Result<()> {
        self.connection.prepare_cached(WATERMARK)?.execute(params![lane, pos, pos])?;
        Ok(())
    }

    pub(super) fn begin(&self) -> anyhow::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    pub(super) fn commit(&self) -> anyhow::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}
