//! What a service answers, as data. Times are microseconds of the Unix epoch, by the database's clock.

use divisi_store::{Epoch, Lane, Pos, Record, Timestamp};
use serde::{Deserialize, Serialize};

/// Parked keys, as they were at `now`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Parked {
    pub(super) now: Timestamp,
    pub(super) keys: Vec<ParkedKey>,
    /// Keys beyond those that are listed.
    pub(super) n_more: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ParkedKey {
    pub(super) consumer: String,
    /// The version, of a projection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    pub(super) source: String,
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) state: String,
    pub(super) reason: String,
    pub(super) attempts: u32,
    pub(super) since: Timestamp,
    pub(super) next_at: Option<Timestamp>,
    /// Topic and key.
    pub(super) waits_for: Option<(String, String)>,
    pub(super) n_events: i64,
}

/// What became of a key that was tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Redriven {
    /// Its events took effect, in order, and it is parked no more.
    Applied,
    /// It failed again.
    FailedAgain { state: String, reason: String },
    /// It is being tried.
    UnderWay,
    /// Its consumer does not run: it is tried when that starts.
    AtStart,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Dropped {
    pub(super) n_events: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Resumed {
    pub(super) lanes: Vec<PausedLane>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PausedLane {
    pub(super) source: String,
    pub(super) topic: String,
    pub(super) lane: Lane,
    /// How its next event fails.
    pub(super) reason: String,
}

/// How far one consumer is in one topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) reader: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    pub(super) source: String,
    pub(super) topic: String,
    /// What took effect, by its own database.
    pub(super) lanes: Vec<(Lane, Epoch, Pos)>,
    pub(super) state: ReaderState,
    /// What is in the way, in words.
    pub(super) trouble: Vec<String>,
    pub(super) paused: Vec<PausedLane>,
    /// Events that took effect and that the source no longer knows.
    pub(super) n_diverged: i64,
    pub(super) n_parked: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReaderState {
    Following,
    /// Something has to pass first; it tries by itself.
    BackingOff,
    /// Too much failed: some lanes wait for a success or for an operator.
    Paused,
    /// It does not go on before it starts again.
    Stopped,
    /// Its process does not run.
    NotRunning,
    /// Its process does not answer.
    Unknown,
}

/// How much comes after a reader's places.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Unread {
    pub(super) n_events: i64,
    /// When the oldest of them was appended.
    pub(super) since: Option<Timestamp>,
    pub(super) now: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Event {
    /// `EPOCH/TOPIC/LANE/POS`.
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) topic: String,
    pub(super) key: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) version: u32,
    pub(super) headers: String,
    /// The event itself, as it stands in the log; bytes that are no text are replaced.
    pub(super) payload: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Projection {
    pub(super) name: String,
    pub(super) active: u32,
    pub(super) shape: u32,
    pub(super) building: Option<u32>,
    /// The version before, and until when it is kept.
    pub(super) previous: Option<(u32, Timestamp)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rebuilding {
    /// The version that is being built; none when the projection has not taken it up yet.
    pub(super) version: Option<u32>,
    /// Whether it is being built now, or when the service starts.
    pub(super) running: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Reader {
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) unread: i64,
    pub(super) unread_since: Option<Timestamp>,
    pub(super) seen_at: Timestamp,
    pub(super) now: Timestamp,
    /// Whether it has not been heard of for so long that somebody should look.
    pub(super) missing: bool,
    /// Whether the app has such a listener today.
    pub(super) in_the_app: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EpochOf {
    pub(super) epoch: Epoch,
    pub(super) began_at: Timestamp,
    /// Events that were in the log when it began and that the list still remembers, by topic.
    pub(super) forks: Vec<(String, i64)>,
}

impl Event {
    pub(super) fn of(record: &Record) -> Event {
        Event {
            id: record.position().to_string(),
            at: record.at,
            topic: record.topic.to_string(),
            key: record.key.to_string(),
            kind: record.kind.to_string(),
            version: record.schema_v,
            headers: record.headers.to_string(),
            payload: String::from_utf8_lossy(&record.payload).into_owned(),
        }
    }
}
