//! `lag`: how far each reader is behind.
//!
//! A reader's own database says how far it is, and the source's log says what comes after that: so it is of now, not of
//! when the reader last spoke. Where one of the two does not answer, the other tells what it knows.

use std::collections::BTreeMap;

use divisi_store::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::{At, BoxError, complete};
use crate::operator::answers::{Reader, ReaderState, Standing, Unread};
use crate::operator::names;
use crate::operator::office::{Absent, Office};
use crate::operator::protocol::Question;
use crate::operator::table::{Table, age};
use crate::service::Service;

/// One reader in one topic.
#[derive(Debug, Serialize)]
struct Lag {
    reader: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    source: String,
    topic: String,
    /// None where the source does not answer.
    unread: Option<i64>,
    /// How old the oldest unread event is.
    oldest_unread_seconds: Option<i64>,
    state: ReaderState,
    trouble: Vec<String>,
    paused_lanes: Vec<u16>,
    diverged: i64,
    /// Keys of this reader that are parked, from all its topics.
    parked_keys: i64,
}

pub(super) async fn run(at: At, office: &mut Office<'_>) -> Result<(), BoxError> {
    let listens = |service: &Service| !service.listens().is_empty();
    let (answers, mut absent) = office.ask_all::<Vec<Standing>>(listens, &Question::Standing).await;
    let mut lags = Vec::new();
    for standing in answers.into_iter().flat_map(|(_, standings)| standings) {
        lags.push(measure(standing, office, &mut absent).await);
    }
    for lag in told_by_sources(office, &absent).await {
        lags.push(lag);
    }
    let mut table =
        Table::new(["READER", "SOURCE", "TOPIC", "UNREAD", "OLDEST", "STATE", "PARKED", "DIVERGED"]);
    for lag in &lags {
        let version = lag.version.map(|version| format!(" v{version}")).unwrap_or_default();
        table.row([
            format!("{}{version}", lag.reader),
            lag.source.clone(),
            lag.topic.clone(),
            lag.unread.map_or("?".to_owned(), |unread| unread.to_string()),
            lag.oldest_unread_seconds.map_or("-".to_owned(), |seconds| {
                age(Timestamp(seconds.saturating_mul(1_000_000)), Timestamp(0))
            }),
            words(lag.state).to_owned(),
            lag.parked_keys.to_string(),
            lag.diverged.to_string(),
        ]);
        lag.trouble.iter().for_each(|trouble| table.note(trouble));
        if !lag.paused_lanes.is_empty() {
            let lanes: Vec<String> = lag.paused_lanes.iter().map(u16::to_string).collect();
            table.note(&format!("paused lanes: {}", lanes.join(", ")));
        }
        if lag.diverged > 0 {
            table.note(
                "the source went back in time: so many events took effect here that it no longer knows",
            );
        }
    }
    at.say(&json!({ "lag": lags, "unanswered": absent }), &table)?;
    complete(absent)
}

/// What comes after where a reader stands.
async fn measure(standing: Standing, office: &mut Office<'_>, absent: &mut Vec<Absent>) -> Lag {
    let Standing { reader, version, source, topic, lanes, state, mut trouble, paused, n_diverged, n_parked } =
        standing;
    let unread = match names::service(office.graph, &source) {
        Ok(owner) => match office.ask(owner, Question::Unread { topic: topic.clone(), lanes }).await {
            Ok(unread) => Some(unread),
            Err(why) => {
                if absent.iter().all(|absent| absent.service != source) {
                    absent.push(Absent::of(owner.name(), &why));
                }
                None
            }
        },
        Err(_) => None,
    };
    for lane in &paused {
        if !trouble.contains(&lane.reason) {
            trouble.push(lane.reason.clone());
        }
    }
    Lag {
        reader,
        version,
        source,
        topic,
        unread: unread.map(|unread: Unread| unread.n_events),
        oldest_unread_seconds: unread.and_then(|unread| seconds(unread.now, unread.since)),
        state,
        trouble,
        paused_lanes: paused.iter().map(|lane| lane.lane.0).collect(),
        diverged: n_diverged,
        parked_keys: n_parked,
    }
}

/// Readers whose own service does not answer, as far as they last told their sources.
async fn told_by_sources(office: &mut Office<'_>, absent: &[Absent]) -> Vec<Lag> {
    let silent: Vec<String> = absent.iter().map(|absent| absent.service.clone()).collect();
    let mut wanted: BTreeMap<String, Vec<(String, &'static str)>> = BTreeMap::new();
    for service in
        office.graph.services().iter().filter(|one| silent.iter().any(|s| s == one.name().as_str()))
    {
        for (reader, topic) in service.listens() {
            let Some(owner) = office.graph.owner(topic) else { continue };
            wanted.entry(owner.as_str().to_owned()).or_default().push((reader.to_string(), topic));
        }
    }
    let mut lags = Vec::new();
    for (source, readers) in wanted {
        let Some(owner) = office.graph.service(&source) else { continue };
        let Ok(told) = office.ask::<Vec<Reader>>(owner, Question::Readers).await else { continue };
        for one in told {
            if !readers.iter().any(|(reader, topic)| *reader == one.name && **topic == *one.topic) {
                continue;
            }
            lags.push(Lag {
                unread: Some(one.unread),
                oldest_unread_seconds: seconds(one.now, one.unread_since),
                state: ReaderState::Unknown,
                trouble: vec![format!("as it last said, {} ago", age(one.now, one.seen_at))],
                reader: one.name,
                version: None,
                source: source.clone(),
                topic: one.topic,
                paused_lanes: Vec::new(),
                diverged: 0,
                parked_keys: 0,
            });
        }
    }
    lags
}

fn seconds(now: Timestamp, since: Option<Timestamp>) -> Option<i64> {
    since.map(|since| now.0.saturating_sub(since.0).max(0) / 1_000_000)
}

fn words(state: ReaderState) -> &'static str {
    match state {
        ReaderState::Following => "following",
        ReaderState::BackingOff => "backing off",
        ReaderState::Paused => "paused",
        ReaderState::Stopped => "stopped",
        ReaderState::NotRunning => "not running",
        ReaderState::Unknown => "does not answer",
    }
}
