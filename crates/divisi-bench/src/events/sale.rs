//! The event, and the two services: a shop that announces it, a listener that reacts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use divisi::events::Failure;
use divisi::events::handler::Handler;
use divisi::store::{BoxFuture, Schema};
use divisi::{Event, Migration, Tx, params};
use hdrhistogram::Histogram;

use crate::load::histogram;

/// Something was sold: some 300 bytes as JSON.
#[divisi::event(topic = "sales", key = "shelf")]
pub(super) struct Sold {
    pub(super) shelf: u64,
    /// When it was announced, in nanoseconds since [`Clock`] began.
    pub(super) at: u64,
    pub(super) note: String,
}

/// Bytes of the note, so that an event has some 300.
pub(super) const NOTE: usize = 256;
/// How many shelves there are: enough that neither lanes nor rows are few.
pub(super) const SHELVES: u64 = 1_024;

/// The shop: `UPDATE` of one row goes with each event.
pub(super) const SHOP: Migration = Migration::new(
    1,
    "shelves",
    "CREATE TABLE shelf (id INTEGER PRIMARY KEY, sold INTEGER NOT NULL) STRICT;
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1023) INSERT INTO shelf SELECT i, 0 FROM n;",
);
pub(super) const SELL: &str = "UPDATE shelf SET sold = sold + 1 WHERE id = $1";

/// The listener: `INSERT` of one row for each event.
pub(super) const LISTENER: Migration = Migration::new(
    1,
    "sales",
    "CREATE TABLE sale (id INTEGER PRIMARY KEY, shelf INTEGER NOT NULL, note TEXT NOT NULL) STRICT;
     CREATE TABLE visit (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT; INSERT INTO visit VALUES (0, 0);",
);
pub(super) const HEAR: &str = "INSERT INTO sale (shelf, note) VALUES ($1, $2)";

pub(super) fn shop() -> Schema {
    Schema {
        migrations: vec![SHOP],
        topics: vec![Sold::TOPIC],
        readers: vec![("listener".into(), Sold::TOPIC)],
    }
}

pub(super) fn listener() -> Schema {
    Schema { migrations: vec![LISTENER], ..Schema::default() }
}

impl Sold {
    /// From a shelf, at `at`.
    pub(super) fn new(shelf: u64, at: u64) -> Sold {
        Sold { shelf, at, note: "n".repeat(NOTE) }
    }
}

/// A clock that both sides of an event share, since they share a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn begin() -> Clock {
        Clock(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The listener's handler. It notes how long each event took to come here.
#[derive(Clone)]
pub(super) struct Hear {
    clock: Clock,
    took: Arc<Mutex<Histogram<u64>>>,
}

impl Hear {
    pub(super) fn new(clock: Clock) -> anyhow::Result<Hear> {
        Ok(Hear { clock, took: Arc::new(Mutex::new(histogram()?)) })
    }

    /// What was noted since the last time.
    pub(super) fn take(&self) -> anyhow::Result<Histogram<u64>> {
        let empty = histogram()?;
        Ok(std::mem::replace(&mut *self.took.lock().unwrap_or_else(PoisonError::into_inner), empty))
    }

    fn note(&self, sent: u64) {
        let took = self.clock.now().saturating_sub(sent);
        self.took.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(took);
    }
}

impl<'a> Handler<'a, Tx, Sold> for Hear {
    type Working = BoxFuture<'a, Result<(), Failure>>;

    fn handle(&self, tx: &'a mut Tx, event: &'a Sold) -> Self::Working {
        self.note(event.at);
        Box::pin(async move {
            tx.execute(HEAR, params![event.shelf as i64, event.note]).await?;
            Ok(())
        })
    }
}

/// How long a benchmark waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
