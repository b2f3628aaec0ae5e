//! An event in a log: its content and its position.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use divisi_contract::{Event, ServiceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;

/// A lane of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Lane(pub u16);

/// A position in a lane: 1, 2, 3 … without holes; 0 is before the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Pos(pub i64);

/// Microseconds of the Unix epoch.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Where an event stands in its source's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// The topic.
    pub topic: Arc<str>,
    /// The lane.
    pub lane: Lane,
    /// The epoch it was given in.
    pub epoch: Epoch,
    /// The position.
    pub pos: Pos,
}

/// An event that has its position: a row of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The service that announced it.
    pub source: ServiceName,
    /// The topic.
    pub topic: Arc<str>,
    /// The lane.
    pub lane: Lane,
    /// The epoch in which the position was given.
    pub epoch: Epoch,
    /// The position.
    pub pos: Pos,
    /// The event's name.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// The version of its shape.
    pub schema_v: u32,
    /// What order is promised for.
    pub key: Arc<str>,
    /// Trace, cause and the like, as a JSON object of strings.
    pub headers: Arc<str>,
    /// The event itself, as JSON.
    pub payload: Bytes,
    /// When it was appended, by the source's clock.
    pub at: Timestamp,
}

/// An event before it has a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The topic.
    pub topic: &'static str,
    /// The lane, from the key.
    pub lane: Lane,
    /// The event's name.
    pub kind: &'static str,
    /// The version of its shape.
    pub schema_v: u32,
    /// What order is promised for.
    pub key: String,
    /// Trace, cause and the like, as a JSON object of strings.
    pub headers: Arc<str>,
    /// The event itself, as JSON.
    pub payload: Bytes,
}

/// Told of each commit in the order of commits, while the writer is still held.
///
/// Where several connections write, of two commits to one lane the later one may be told first: what is told is true,
/// but not always the next.
///
/// It must be quick and must not wait: everybody who writes waits for it.
pub trait Committed: Send + Sync + 'static {
    /// These records are committed, in this order within each lane, all in the epoch of today.
    fn committed(&self, records: &[Arc<Record>]);
    /// These lanes of a topic end there at least, as the database says: what is new there was committed by somebody
    /// else, and stands in the database alone.
    fn grew(&self, _topic: &str, _heads: &[(Lane, Pos)]) {}
    /// Nothing in memory may be trusted any more: an epoch began, or a commit's outcome is not known. What was committed
    /// together with the beginning of an epoch is told by this alone.
    fn forget(&self);
}

impl Record {
    /// Where it stands.
    pub fn position(&self) -> Position {
        Position { topic: Arc::clone(&self.topic), lane: self.lane, epoch: self.epoch, pos: self.pos }
    }

    /// About how many bytes it takes on the wire and in memory.
    pub fn size(&self) -> usize {
        160 + self.key.len() + self.headers.len() + self.payload.len()
    }

    /// The value of one header.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers: serde_json::Value = serde_json::from_str(&self.headers).ok()?;
        headers.get(name)?.as_str().map(str::to_owned)
    }

    /// The event itself, if the record is one of `E` that this version can read.
    pub fn decode<E: Event>(&self) -> Result<E, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }
}

impl Pos {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Pos {
        Pos(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.epoch.0, self.topic, self.lane.0, self.pos.0)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
