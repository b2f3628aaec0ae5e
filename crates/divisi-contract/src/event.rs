//! A fact that a service announces.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many lanes a topic has: fixed for ever when it is first declared, never configured.
pub const LANES: u16 = 64;

/// A fact in the past tense, with a name, a version and an ordering key. Made by `#[event]` on a struct.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "an event is a struct with `#[divisi::event(topic = \"…\", key = \"…\")]`"
)]
pub trait Event: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name, as strangers see it: `CommentCreated`.
    const NAME: &'static str;
    /// The topic it is announced in; one a kind of aggregate, owned by one service.
    const TOPIC: &'static str;
    /// The version of its shape; a breaking change makes a new one.
    const VERSION: u32;
    /// What order is promised for: events of one topic with the same key stay in order.
    fn key(&self) -> Cow<'_, str>;
    /// The event as data.
    fn spec() -> EventSpec;
}

/// An event as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventSpec {
    /// Its name.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// The version of its shape.
    pub version: u32,
    /// The field that is its key.
    pub key: String,
    /// Its documentation.
    pub docs: String,
    /// JSON Schema of its payload.
    pub schema: Value,
}

/// The lane of a key in a topic of `lanes` lanes: XXH3-64 of the key, seed 0, modulo.
///
/// ```
/// let hash_of_nothing = 0x2d06_8005_38d3_94c2_u64;
/// assert_eq!(u64::from(divisi_contract::event::lane_of("", 64)), hash_of_nothing % 64);
/// ```
pub fn lane_of(key: &str, lanes: u16) -> u16 {
    let lane = xxhash_rust::xxh3::xxh3_64(key.as_bytes()) % u64::from(lanes.max(1));
    // Less than `lanes`, which is a u16.
    lane as u16
}
