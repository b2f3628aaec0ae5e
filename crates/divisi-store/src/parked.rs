//! Keys that cannot go on, and their events in order.
//!
//! Everything here runs behind the lock on the watermark of the key's lane, except [`mark`] and [`Parking::retry`],
//! which only say that a key is due.

use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_contract::event::{LANES, lane_of};

use crate::epoch::Epoch;
use crate::error::{StoreError, StoreErrorKind};
use crate::inbox::{Inbox, Watermark};
use crate::params;
use crate::record::{Lane, Pos, Record, Timestamp};
use crate::transaction::{Read, Tx};
use crate::value::{FromRow, FromValue, Row, ToValue, Value, ValueRef};

/// So many parked keys of a topic are read at once, before a batch; with more, each key is looked up by itself.
pub const KEYS_AT_ONCE: usize = 64;

/// What a batch must know: which keys of its topic are parked, and which keys of its topic are waited for.
pub const AROUND: &str = "SELECT 0, key FROM (SELECT key FROM divisi_parked_key \
                          WHERE consumer = $1 AND source = $2 AND topic = $3 LIMIT 65) AS parked \
                          UNION ALL SELECT 1, dep_key FROM (SELECT DISTINCT dep_key FROM divisi_parked_key \
                          WHERE consumer = $1 AND dep_topic = $3 AND state = 'waiting' LIMIT 65) AS wanted";
/// One key.
pub const LOOK: &str = "SELECT state, reason, attempts, next_at, since, dep_topic, dep_key FROM divisi_parked_key \
                        WHERE consumer = $1 AND source = $2 AND topic = $3 AND key = $4";
/// Parks a key, or says anew why it is parked.
pub const PARK: &str = "INSERT INTO divisi_parked_key \
                        (consumer, source, topic, key, state, reason, attempts, next_at, since, dep_topic, dep_key) \
                        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                        ON CONFLICT (consumer, source, topic, key) DO UPDATE SET state = excluded.state, \
                        reason = excluded.reason, attempts = excluded.attempts, next_at = excluded.next_at, \
                        dep_topic = excluded.dep_topic, dep_key = excluded.dep_key";
/// Keeps one event of a parked key.
pub const APPEND: &str = "INSERT INTO divisi_parked_event (consumer, source, topic, lane, epoch, pos, type, schema_v, \
                          key, headers, payload, at, parked_at) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING";
/// Marks the keys that wait for one.
pub const MARK: &str = "UPDATE divisi_parked_key SET state = 'retrying', next_at = $4 \
                        WHERE consumer = $1 AND dep_topic = $2 AND dep_key = $3 AND state = 'waiting'";
/// The keys that are due, oldest first.
pub const DUE: &str = "SELECT source, topic, key FROM divisi_parked_key \
                       WHERE consumer = $1 AND state <> 'dead' AND next_at <= $2 ORDER BY next_at LIMIT $3";
/// When the next key is due.
pub const NEXT_DUE: &str =
    "SELECT min(next_at) FROM divisi_parked_key WHERE consumer = $1 AND state <> 'dead'";
/// The first events of a key.
pub const EVENTS: &str = "SELECT lane, epoch, pos, type, schema_v, headers, payload, at FROM divisi_parked_event \
                          WHERE consumer = $1 AND source = $2 AND topic = $3 AND key = $4 \
                          ORDER BY epoch, pos LIMIT $5";
/// Takes the events of a key out, up to one.
pub const REMOVE_UP_TO: &str = "DELETE FROM divisi_parked_event \
                                WHERE consumer = $1 AND source = $2 AND topic = $3 AND key = $4 \
                                AND (epoch < $5 OR (epoch = $5 AND pos <= $6))";
/// Takes all events of a key out.
pub const REMOVE_EVENTS: &str =
    "DELETE FROM divisi_parked_event WHERE consumer = $1 AND source = $2 AND topic = $3 AND key = $4";
/// Takes a key out.
pub const REMOVE_KEY: &str =
    "DELETE FROM divisi_parked_key WHERE consumer = $1 AND source = $2 AND topic = $3 AND key = $4";
/// Makes a key due now, with all its attempts before it.
pub const RETRY: &str = "UPDATE divisi_parked_key SET state = 'retrying', attempts = 0, next_at = $5 \
                         WHERE consumer = $1 AND source = $2 AND topic = $3 AND key = $4";
/// How many keys and events of a consumer there are, by state.
pub const COUNTS: &str = "SELECT state, count(*) FROM divisi_parked_key WHERE consumer = $1 GROUP BY state";
/// How many events of a consumer are kept.
pub const EVENT_COUNT: &str = "SELECT count(*) FROM divisi_parked_event WHERE consumer = $1";
/// The keys of a consumer, the longest parked first.
pub const LIST: &str = "SELECT source, topic, key, state, reason, attempts, next_at, since, dep_topic, dep_key, \
                        (SELECT count(*) FROM divisi_parked_event e WHERE e.consumer = k.consumer AND \
                        e.source = k.source AND e.topic = k.topic AND e.key = k.key) \
                        FROM divisi_parked_key k WHERE consumer = $1 ORDER BY since, source, topic, key LIMIT $2";
/// Takes out what a lane's source no longer knows.
pub const REMOVE_BEYOND: &str = "DELETE FROM divisi_parked_event \
                                 WHERE consumer = $1 AND source = $2 AND topic = $3 AND lane = $4 AND pos > $5";
/// Takes out the keys that have no event any more.
pub const REMOVE_EMPTY: &str = "DELETE FROM divisi_parked_key WHERE consumer = $1 AND source = $2 AND topic = $3 \
                                AND NOT EXISTS (SELECT 1 FROM divisi_parked_event e WHERE \
                                e.consumer = divisi_parked_key.consumer AND e.source = divisi_parked_key.source \
                                AND e.topic = divisi_parked_key.topic AND e.key = divisi_parked_key.key)";

/// Every statement of this file; a test prepares them.
pub const STATEMENTS: &[&str] = &[
    AROUND,
    LOOK,
    PARK,
    APPEND,
    MARK,
    DUE,
    NEXT_DUE,
    EVENTS,
    REMOVE_UP_TO,
    REMOVE_EVENTS,
    REMOVE_KEY,
    RETRY,
    COUNTS,
    EVENT_COUNT,
    LIST,
    REMOVE_BEYOND,
    REMOVE_EMPTY,
];

/// How a parked key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits for an event of another key; it is also tried by itself.
    Waiting,
    /// It is tried again when it is due.
    Retrying,
    /// It waits for an operator: redrive it or drop it.
    Dead,
}

/// Why a key is parked, and what is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// How it stands.
    pub state: State,
    /// The sentence for people.
    pub reason: String,
    /// How often it was tried since something of it last worked.
    pub attempts: u32,
    /// When it is tried again; none for a dead one.
    pub next_at: Option<Timestamp>,
    /// Topic and key of what it waits for.
    pub waits_for: Option<(String, String)>,
}

/// A parked key, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// The service whose events they are.
    pub source: ServiceName,
    /// The topic.
    pub topic: String,
    /// The key.
    pub key: String,
    /// Why, and what is next.
    pub why: Why,
    /// Since when.
    pub since: Timestamp,
    /// How many events wait.
    pub n_events: i64,
}

/// What is parked of a consumer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that wait for another one.
    pub waiting: i64,
    /// Keys that will be tried again.
    pub retrying: i64,
    /// Keys that wait for an operator.
    pub dead: i64,
    /// Events of all of them.
    pub events: i64,
}

/// What a batch must know of parked keys, read once behind its lock.
#[derive(Debug, Default)]
pub struct Around {
    parked: Vec<String>,
    /// More keys are parked than were read: each is looked up.
    many_parked: bool,
    wanted: Vec<String>,
    many_wanted: bool,
}

/// One parked key of one topic.
#[derive(Debug, Clone, Copy)]
pub struct Parking<'a> {
    /// The inbox.
    pub inbox: &'a Inbox,
    /// The key, as it is parked.
    pub key: &'a str,
}

impl Around {
    /// Locks a lane's watermark, and reads behind the lock which keys are parked and which are waited for.
    pub async fn lock(tx: &mut Tx, inbox: &Inbox, lane: Lane) -> Result<(Watermark, Around), StoreError> {
        let (at, rows): (_, Vec<(i64, String)>) = inbox.lock_and_ask(tx, lane, AROUND).await?;
        let mut around = Around::default();
        for (which, key) in rows {
            if which == 0 { around.parked.push(key) } else { around.wanted.push(key) }
        }
        around.many_parked = around.parked.len() > KEYS_AT_ONCE;
        around.many_wanted = around.wanted.len() > KEYS_AT_ONCE;
        Ok((at, around))
    }

    /// Whether the key is parked; a question to the database only when very many are.
    pub async fn is_parked(&self, read: &mut Read, parking: Parking<'_>) -> Result<bool, StoreError> {
        if self.parked.iter().any(|key| key == parking.key) {
            return Ok(true);
        }
        Ok(self.many_parked && parking.look(read).await?.is_some())
    }

    /// Whether some key may wait for this one.
    pub fn is_wanted(&self, key: &str) -> bool {
        self.many_wanted || self.wanted.iter().any(|wanted| wanted == key)
    }

    /// The batch itself has parked a key, for the sake of `waits_for` if that is in the batch's own topic.
    pub fn parked(&mut self, key: &str, waits_for: Option<&str>) {
        self.parked.push(key.to_owned());
        self.wanted.extend(waits_for.map(str::to_owned));
    }
}

impl Parking<'_> {
    /// How the key stands; `None` when it is not parked.
    pub async fn look(&self, read: &mut Read) -> Result<Option<Why>, StoreError> {
        read.query_opt(LOOK, &self.of()).await
    }

    /// Parks the key, or says anew why it is parked.
    pub async fn park(&self, tx: &mut Tx, why: &Why) -> Result<(), StoreError> {
        let now = tx.now();
        let [consumer, source, topic, key] = self.of();
        let (dep_topic, dep_key) = why.waits_for.as_ref().map(|(topic, key)| (topic, key)).unzip();
        let params = [
            consumer,
            source,
            topic,
            key,
            ValueRef::Text(why.state.as_str()),
            why.reason.to_value(),
            why.attempts.to_value(),
            why.next_at.to_value(),
            now.to_value(),
            dep_topic.to_value(),
            dep_key.to_value(),
        ];
        tx.execute(PARK, &params).await.map(drop)
    }

    /// Keeps an event behind the others of its key.
    pub async fn append(&self, tx: &mut Tx, record: &Record) -> Result<(), StoreError> {
        let now = tx.now();
        let [consumer, source, topic, key] = self.of();
        let params = [
            consumer,
            source,
            topic,
            record.lane.to_value(),
            record.epoch.to_value(),
            record.pos.to_value(),
            record.kind.to_value(),
            record.schema_v.to_value(),
            key,
            record.headers.to_value(),
            record.payload.to_value(),
            record.at.to_value(),
            now.to_value(),
        ];
        tx.execute(APPEND, &params).await.map(drop)
    }

    /// The first events, in order.
    pub async fn events(&self, read: &mut Read, most: usize) -> Result<Vec<Record>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let Inbox { source, topic: topic_name, .. } = self.inbox;
        let [consumer, source_value, topic, key] = self.of();
        let rows: Vec<Kept> =
            read.query(EVENTS, &[consumer, source_value, topic, key, most.to_value()]).await?;
        let record = |(lane, epoch, pos, kind, schema_v, headers, payload, at)| Record {
            source: source.clone(),
            topic: Arc::clone(topic_name),
            lane,
            epoch,
            pos,
            kind,
            schema_v,
            key: Arc::from(self.key),
            headers,
            payload,
            at,
        };
        Ok(rows.into_iter().map(record).collect())
    }

    /// Takes out the events up to one that has taken effect, in the transaction of the effect.
    pub async fn remove_up_to(&self, tx: &mut Tx, epoch: Epoch, pos: Pos) -> Result<u64, StoreError> {
        let [consumer, source, topic, key] = self.of();
        tx.execute(REMOVE_UP_TO, &[consumer, source, topic, key, epoch.to_value(), pos.to_value()]).await
    }

    /// Takes the key out, in the transaction that removes its last event.
    pub async fn remove_key(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        tx.execute(REMOVE_KEY, &self.of()).await.map(|n| n > 0)
    }

    /// Gives up the key and its events; how many events those were.
    pub async fn drop(&self, tx: &mut Tx) -> Result<u64, StoreError> {
        let n_events = tx.execute(REMOVE_EVENTS, &self.of()).await?;
        self.remove_key(tx).await?;
        Ok(n_events)
    }

    /// Makes the key due now; `false` when it is not parked.
    pub async fn retry(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        let now = tx.now();
        let [consumer, source, topic, key] = self.of();
        let n = tx.execute(RETRY, &[consumer, source, topic, key, now.to_value()]).await?;
        Ok(n > 0)
    }

    /// The lane that the key belongs to.
    pub fn lane(&self) -> Lane {
        unreadable_lane(self.key).unwrap_or_else(|| Lane(lane_of(self.key, LANES)))
    }

    fn of(&self) -> [ValueRef<'_>; 4] {
        let [consumer, source, topic] = self.inbox.of();
        [consumer, source, topic, ValueRef::Text(self.key)]
    }
}

/// Under what the events of a lane are parked whose key cannot be read.
pub fn unreadable_key(lane: Lane) -> String {
    format!("{UNREADABLE}{lane}")
}

const UNREADABLE: &str = "!lane/";

fn unreadable_lane(key: &str) -> Option<Lane> {
    key.strip_prefix(UNREADABLE)?.parse().ok().map(Lane)
}

/// Marks the keys that wait for `key` of `topic`: they are due now. How many they are.
pub async fn mark(tx: &mut Tx, consumer: &str, topic: &str, key: &str) -> Result<u64, StoreError> {
    let now = tx.now();
    tx.execute(MARK, params![consumer, topic, key, now]).await
}

/// The keys that are due, the longest first: source, topic, key.
pub async fn due(
    read: &mut Read,
    consumer: &str,
    most: usize,
) -> Result<Vec<(String, String, String)>, StoreError> {
    let now = read.now();
    read.query(DUE, params![consumer, now, i64::try_from(most).unwrap_or(i64::MAX)]).await
}

/// When the next key is due.
pub async fn next_due(read: &mut Read, consumer: &str) -> Result<Option<Timestamp>, StoreError> {
    let (next,): (Option<Timestamp>,) = read.query_one(NEXT_DUE, params![consumer]).await?;
    Ok(next)
}

/// What is parked of a consumer.
pub async fn counts(read: &mut Read, consumer: &str) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    let rows: Vec<(State, i64)> = read.query(COUNTS, params![consumer]).await?;
    for (state, n) in rows {
        match state {
            State::Waiting => counts.waiting = n,
            State::Retrying => counts.retrying = n,
            State::Dead => counts.dead = n,
        }
    }
    (counts.events,) = read.query_one(EVENT_COUNT, params![consumer]).await?;
    Ok(counts)
}

/// The parked keys of a consumer, the longest parked first.
pub async fn list(read: &mut Read, consumer: &str, most: usize) -> Result<Vec<ParkedKey>, StoreError> {
    read.query(LIST, params![consumer, i64::try_from(most).unwrap_or(i64::MAX)]).await
}

/// Takes out the events of a lane beyond the last position that its source still knows; how many they were.
pub async fn remove_beyond(tx: &mut Tx, inbox: &Inbox, lane: Lane, last: Pos) -> Result<u64, StoreError> {
    let [consumer, source, topic] = inbox.of();
    let params = [consumer, source, topic, lane.to_value(), last.to_value()];
    let removed = tx.execute(REMOVE_BEYOND, &params).await?;
    if removed > 0 {
        tx.execute(REMOVE_EMPTY, &inbox.of()).await?;
    }
    Ok(removed)
}

type Kept = (Lane, Epoch, Pos, Arc<str>, u32, Arc<str>, bytes::Bytes, Timestamp);

impl State {
    /// The word for it, in the database and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Retrying => "retrying",
            State::Dead => "dead",
        }
    }
}

impl FromValue for State {
    fn from_value(value: Value) -> Result<State, StoreError> {
        match String::from_value(value)?.as_str() {
            "waiting" => Ok(State::Waiting),
            "retrying" => Ok(State::Retrying),
            "dead" => Ok(State::Dead),
            other => Err(StoreError::new(
                StoreErrorKind::Type,
                format!("`{other}` is not a state of a parked key"),
            )),
        }
    }
}

impl FromRow for Why {
    fn from_row(mut row: Row) -> Result<Why, StoreError> {
        why(&mut row, [0, 1, 2, 3, 5, 6])
    }
}

impl FromRow for ParkedKey {
    fn from_row(mut row: Row) -> Result<ParkedKey, StoreError> {
        Ok(ParkedKey {
            source: row.take::<String>(0)?.into(),
            topic: row.take(1)?,
            key: row.take(2)?,
            why: why(&mut row, [3, 4, 5, 6, 8, 9])?,
            since: row.take(7)?,
            n_events: row.take(10)?,
        })
    }
}

fn why(
    row: &mut Row,
    [state, reason, attempts, next_at, dep_topic, dep_key]: [usize; 6],
) -> Result<Why, StoreError> {
    let dep_topic: Option<String> = row.take(dep_topic)?;
    Ok(Why {
        state: row.take(state)?,
        reason: row.take(reason)?,
        attempts: row.take(attempts)?,
        next_at: row.take(next_at)?,
        waits_for: dep_topic.zip(row.take(dep_key)?),
    })
}
