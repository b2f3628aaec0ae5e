//! What the carrier holds at the end of a lane.
//!
//! A server that is put back to an older state may find records waiting in the client that were sent on the word of
//! what it has just forgotten. They lie behind a gap then, and a relay that went on behind them would never fill it.
//! Such a record tells of itself: the sequence that was proved before it ([`AFTER`]) is not below its own.

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

/// The header that names the sequence that the lane was proved to have before this record was sent.
pub(crate) const AFTER: &str = "divisi-after";

/// What the carrier holds at the end of a lane, but for what lies behind a gap.
pub(crate) async fn head(nats: &Nats, topic: &str, lane: Lane) -> Result<Head, CarrierError> {
    let names = nats.names(topic)?;
    nats.streams.id(&nats.connection, &names).await?;
    let last = match last_message(nats, &names, lane).await? {
        Some(last) if is_misplaced(&last) => last_in_place(nats, &names, lane, last.sequence).await?,
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
    message(nats, names, lane, None).await
}

/// The last sequence of a lane; 0 for an empty one.
pub(crate) async fn last_sequence(nats: &Nats, names: &Names, lane: Lane) -> Result<u64, CarrierError> {
    Ok(last_message(nats, names, lane).await?.map_or(0, |message| message.sequence))
}

/// Whether the server has forgotten what this was sent behind.
fn is_misplaced(message: &StreamMessage) -> bool {
    let after = message.headers.get(AFTER).and_then(|after| after.as_str().parse::<u64>().ok());
    after.is_some_and(|after| after >= message.sequence)
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
        match message(nats, names, lane, Some(middle)).await? {
            Some(next) if !is_misplaced(&next) => {
                from = next.sequence + 1;
                found = Some(next);
            }
            _ => to = middle,
        }
    }
    Ok(found)
}

/// The lane's first message at or behind a sequence; its last one without.
async fn message(
    nats: &Nats,
    names: &Names,
    lane: Lane,
    from: Option<u64>,
) -> Result<Option<StreamMessage>, CarrierError> {
    nats.connection.reachable()?;
    let stream = nats.connection.jetstream.get_stream_no_info(&names.stream).await;
    let stream = stream.map_err(|error| CarrierError::Unavailable(with_cause(&error)))?;
    let subject = names.subject(lane);
    let asked = async {
        match from {
            None => stream.get_last_raw_message_by_subject(&subject).await,
            Some(from) => stream.get_first_raw_message_by_subject(&subject, from).await,
        }
    };
    let answer = timeout(nats.answer_within, asked).await;
    found(nats, names, &subject, answer)
}

fn found(
    nats: &Nats,
    names: &Names,
    subject: &str,
    answer: Result<Result<StreamMessage, RawMessageError>, tokio::time::error::Elapsed>,
) -> Result<Option<StreamMessage>, CarrierError> {
    let asked = format!("$JS.API.STREAM.MSG.GET.{}", names.stream);
    let unanswered = |otherwise| nats.connection.unanswered(&[&asked], otherwise);
    match answer {
        Err(_) => Err(unanswered(format!("no answer about `{subject}` in time"))),
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
