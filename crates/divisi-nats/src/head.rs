//! What the carrier holds at the end of a lane.
//!
//! A server that is put back to an older state may find records waiting in the client that were sent on the word of
//! what it has just forgotten. They lie behind a gap then, and a relay that went on behind them would never fill it.
//! Such a record tells of itself: it names the record that was proved to be stored before it ([`AFTER`]), and that one is not there.

use std::fmt;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageError};
use divisi_events::Head;
use divisi_events::carrier::CarrierError;
use divisi_events::cloud_event::Content;
use divisi_store::Lane;
use tokio::time::timeout;

use crate::names::Names;
use crate::nats::Nats;
use crate::publishing::pairs;
use crate::streams::with_cause;

/// The header that names the record of the lane that was proved to be stored before this one was sent: its sequence and its id.
pub(crate) const AFTER: &str = "divisi-after";

/// A record that was stored, as [`AFTER`] says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) sequence: u64,
    pub(crate) id: String,
}

/// What the carrier holds at the end of a lane, but for what lies behind a gap.
pub(crate) async fn head(nats: &Nats, topic: &str, lane: Lane) -> Result<Head, CarrierError> {
    let names = nats.names(topic)?;
    nats.streams.id(&nats.connection, &names).await?;
    let last = match last_message(nats, &names, lane).await? {
        Some(last) if is_misplaced(nats, &names, &last).await? => {
            last_in_place(nats, &names, lane, last.sequence).await?
        }
        last => last,
    };
    let Some(message) = last else {
        // A lane whose events were all removed by age is not one that never had any: the relay's own cursor knows.
        let found = nats.streams.look(&nats.connection, &names).await?;
        return Ok(if found.state.first_sequence <= 1 { Head::Empty } else { Head::Unknown });
    };
    match nats.mapping.read(pairs(&message.headers), &message.payload) {
        Ok(Content::Record(record)) => Ok(Head::At(record.epoch, record.pos)),
        _ => Ok(Head::Unknown),
    }
}

/// The last message of a lane.
pub(crate) async fn last_message(
    nats: &Nats,
    names: &Names,
    lane: Lane,
) -> Result<Option<StreamMessage>, CarrierError> {
    message(nats, names, Wanted::Last(lane)).await
}

/// The last sequence of a lane; 0 for an empty one.
pub(crate) async fn last_sequence(nats: &Nats, names: &Names, lane: Lane) -> Result<u64, CarrierError> {
    Ok(last_message(nats, names, lane).await?.map_or(0, |message| message.sequence))
}

/// Whether the server has forgotten what this was sent behind.
async fn is_misplaced(nats: &Nats, names: &Names, message: &StreamMessage) -> Result<bool, CarrierError> {
    let Some(proof) = message.headers.get(AFTER).and_then(|after| Proof::parse(after.as_str())) else {
        return Ok(false);
    };
    Ok(proof.sequence >= message.sequence || !holds(nats, names, &proof).await?)
}

/// Whether the record that was proved to be stored is where it was, or was removed since it became too old.
pub(crate) async fn holds(nats: &Nats, names: &Names, proof: &Proof) -> Result<bool, CarrierError> {
    if let Some(found) = message(nats, names, Wanted::At(proof.sequence)).await? {
        return Ok(found.headers.get(NATS_MESSAGE_ID).is_some_and(|id| id.as_str() == proof.id));
    }
    Ok(proof.sequence < nats.streams.look(&nats.connection, names).await?.state.first_sequence)
}

impl Proof {
    fn parse(text: &str) -> Option<Proof> {
        let (sequence, id) = text.split_once(' ')?;
        Some(Proof { sequence: sequence.parse().ok()?, id: id.to_owned() })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sequence, self.id)
    }
}

/// The last message before those that are misplaced at the lane's end, by halving: some twenty questions in a stream of
/// a million. Where older ones lie in between, it may be one before those: more is published again than need be.
async fn last_in_place(
    nats: &Nats,
    names: &Names,
    lane: Lane,
    misplaced: u64,
) -> Result<Option<StreamMessage>, CarrierError> {
    let mut found: Option<StreamMessage> = None;
    let (mut from, mut to) = (1, misplaced);
    // What comes next at or behind `to` is misplaced; what is in place begins before `from`.
    while from < to {
        let middle = from + (to - from) / 2;
        match message(nats, names, Wanted::Next(lane, middle)).await? {
            Some(next) if !is_misplaced(nats, names, &next).await? => {
                from = next.sequence + 1;
                found = Some(next);
            }
            _ => to = middle,
        }
    }
    Ok(found)
}

/// Which message of a stream.
enum Wanted {
    /// The last one of a lane.
    Last(Lane),
    /// The first one of a lane at or behind a sequence.
    Next(Lane, u64),
    /// The one with a sequence.
    At(u64),
}

async fn message(nats: &Nats, names: &Names, wanted: Wanted) -> Result<Option<StreamMessage>, CarrierError> {
    nats.connection.reachable()?;
    let stream = nats.connection.jetstream.get_stream_no_info(&names.stream).await;
    let stream = stream.map_err(|error| CarrierError::Unavailable(with_cause(&error)))?;
    let asked = async {
        match wanted {
            Wanted::Last(lane) => stream.get_last_raw_message_by_subject(&names.subject(lane)).await,
            Wanted::Next(lane, from) => {
                stream.get_first_raw_message_by_subject(names.subject(lane), from).await
            }
            Wanted::At(sequence) => stream.get_raw_message(sequence).await,
        }
    };
    let answer = timeout(nats.answer_within, asked).await;
    found(nats, names, answer)
}

fn found(
    nats: &Nats,
    names: &Names,
    answer: Result<Result<StreamMessage, RawMessageError>, tokio::time::error::Elapsed>,
) -> Result<Option<StreamMessage>, CarrierError> {
    let asked = format!("$JS.API.STREAM.MSG.GET.{}", names.stream);
    let unanswered = |otherwise| nats.connection.unanswered(&[&asked], otherwise);
    match answer {
        Err(_) => Err(unanswered(format!("no answer about a message of `{}` in time", names.stream))),
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(error)) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Ok(None),
            LastRawMessageErrorKind::JetStream(_) => {
                nats.streams.forget(names);
                Err(CarrierError::Unavailable(with_cause(&error)))
            }
            _ => Err(unanswered(with_cause(&error))),
        },
    }
}
