//! The event, and the two services: a shop that announces it, a listener that reacts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use divisi::events::Failure;
use divisi::events::handler::Handler;
use divisi::store::{BoxFuture, Schema};
use divisi::{Event, Migration, Tx, params};

/// Something was sold: some 300 bytes as JSON.
#[divisi::event(topic = "sales", key = "shelf")]
pub(crate) struct Sold {
    pub(crate) shelf: u64,
    /// Which one it is, where somebody asks how long each took.
    pub(crate) n: u64,
    pub(crate) note: String,
}

/// Bytes of the note, so that an event has some 300.
pub(crate) const NOTE: usize = 256;
/// How many shelves there are: enough that neither lanes nor rows are few.
pub(crate) const SHELVES: u64 = 1_024;

/// The shop: `UPDATE` of one row goes with each event.
pub(crate) const SHOP: Migration = Migration::new(
    1,
    "shelves",
    "CREATE TABLE shelf (id INTEGER PRIMARY KEY, sold INTEGER NOT NULL) STRICT;
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1023) INSERT INTO shelf SELECT i, 0 FROM n;",
)
.postgres(
    "CREATE TABLE shelf (id BIGINT PRIMARY KEY, sold BIGINT NOT NULL) WITH (fillfactor = 50);
     INSERT INTO shelf SELECT i, 0 FROM generate_series(0, 1023) AS i;",
);
pub(crate) const SELL: &str = "UPDATE shelf SET sold = sold + 1 WHERE id = $1";

/// The listener: `INSERT` of one row for each event.
pub(crate) const LISTENER: Migration = Migration::new(
    1,
    "sales",
    "CREATE TABLE sale (id INTEGER PRIMARY KEY, shelf INTEGER NOT NULL, note TEXT NOT NULL) STRICT;
     CREATE TABLE visit (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT; INSERT INTO visit VALUES (0, 0);",
)
.postgres(
    "CREATE TABLE sale (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shelf BIGINT NOT NULL, note TEXT NOT NULL);",
);
pub(crate) const HEAR: &str = "INSERT INTO sale (shelf, note) VALUES ($1, $2)";

pub(crate) fn shop() -> Schema {
    Schema {
        migrations: vec![SHOP],
        topics: vec![Sold::TOPIC],
        readers: vec![("listener".into(), Sold::TOPIC)],
        ..Schema::default()
    }
}

pub(crate) fn listener() -> Schema {
    Schema { migrations: vec![LISTENER], ..Schema::default() }
}

impl Sold {
    /// The `n`th, from a shelf.
    pub(crate) fn new(shelf: u64, n: u64) -> Sold {
        Sold { shelf, n, note: "n".repeat(NOTE) }
    }
}

/// The listener's handler. It notes when each event came, where there is room for it.
#[derive(Clone)]
pub(crate) struct Hear {
    began: Instant,
    heard: Arc<[AtomicU64]>,
}

impl Hear {
    /// With room for so many.
    pub(crate) fn new(events: u64) -> Hear {
        Hear { began: Instant::now(), heard: (0..events).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Nanoseconds since it was made; never zero.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// When the handler of the `n`th event began, if it has.
    pub(crate) fn heard(&self, n: u64) -> Option<u64> {
        let at = self.heard.get(n as usize)?.load(Ordering::Relaxed);
        (at > 0).then_some(at)
    }

    /// The first time counts: a batch that is undone is applied again.
    fn note(&self, n: u64) {
        if let Some(heard) = self.heard.get(n as usize) {
            let _ = heard.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl<'a> Handler<'a, Tx, Sold> for Hear {
    type Working = BoxFuture<'a, Result<(), Failure>>;

    fn handle(&self, tx: &'a mut Tx, event: &'a Sold) -> Self::Working {
        self.note(event.n);
        Box::pin(async move {
            tx.send(HEAR, params![event.shelf as i64, event.note]).await?;
            Ok(())
        })
    }
}

/// How long a benchmark waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
