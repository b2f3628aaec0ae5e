//! The event of the models, and keys that share two lanes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{Event, EventSpec};
use divisi_store::Lane;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const TOPIC: &str = "counted.v1";

/// The `version`th event of its key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct Counted {
    pub(super) key: String,
    pub(super) version: i64,
    /// Never given twice, whatever the database forgets.
    pub(super) uid: i64,
    /// What must have taken effect before: this version of another key.
    pub(super) after: Option<(String, i64)>,
    /// How often its handler fails in a way that passes.
    pub(super) failures: u8,
}

impl Event for Counted {
    const NAME: &'static str = "Counted";
    const TOPIC: &'static str = TOPIC;
    const VERSION: u32 = 1;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.key)
    }

    fn spec() -> EventSpec {
        EventSpec {
            name: Self::NAME.to_owned(),
            topic: Self::TOPIC.to_owned(),
            version: Self::VERSION,
            key: "key".to_owned(),
            docs: String::new(),
            schema: serde_json::Value::Null,
        }
    }
}

/// Four keys in two lanes.
pub(super) static KEYS: LazyLock<[String; 4]> = LazyLock::new(|| {
    let mut by_lane: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for n in 0.. {
        let key = format!("key-{n}");
        by_lane.entry(lane_of(&key, LANES)).or_default().push(key);
        let mut pairs = by_lane.values().filter(|keys| keys.len() >= 2);
        if let (Some(a), Some(b)) = (pairs.next(), pairs.next()) {
            return [a[0].clone(), b[0].clone(), a[1].clone(), b[1].clone()];
        }
    }
    unreachable!("there are infinitely many keys and 64 lanes")
});

pub(super) fn lane(key: &str) -> Lane {
    Lane(lane_of(key, LANES))
}

/// The two lanes, in order.
pub(super) fn lanes() -> [Lane; 2] {
    let (a, b) = (lane(&KEYS[0]), lane(&KEYS[1]));
    [a.min(b), a.max(b)]
}
