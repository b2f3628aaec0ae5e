//! Publishes the records of a lane: in order, at least once, fenced.
//!
//! The first record that the server stores proves that nobody else has published in between: it carries the last
//! sequence of its subject as this process knows it. Those behind it are sent without waiting for each other, since
//! their sequences are not known before. So a relay that was overtaken finds out with its first record. A server that
//! was put back to an older state in between stores the others where they do not belong: its acknowledgement shows it,
//! and so does what lies there ([`crate::head`]).

use std::sync::Arc;

use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::{HeaderMap, HeaderName};
use divisi_events::Hint;
use divisi_events::carrier::{CarrierError, PublishError};
use divisi_store::{Lane, Record};
use tokio::time::timeout;

use crate::head::{self, AFTER, Proof, last_message};
use crate::lanes::End;
use crate::names::{Names, StreamId};
use crate::nats::Nats;
use crate::streams::with_cause;

/// The header that names the relay's token.
const FENCE: &str = "divisi-fence";
/// How often a lane whose end was not where it was believed is looked at again, within one publish.
const LOOKS_MAX: u32 = 3;

/// The last message of a lane.
struct Last {
    sequence: u64,
    /// The token under which it was published.
    fence: u64,
}

/// What a record says of the lane in which it is to be stored.
enum Expected<'a> {
    Nothing,
    /// It is stored if the lane's last sequence is this one.
    Last(u64),
    /// This record was stored a moment ago.
    After(&'a str),
}

/// One run of records on its way.
struct Run<'a> {
    nats: &'a Nats,
    names: Names,
    stream: StreamId,
    lane: Lane,
    fence: Option<u64>,
}

/// Publishes; one outcome a record. What stands behind the first failure is not waited for.
pub(crate) async fn publish(
    nats: &Nats,
    topic: &str,
    lane: Lane,
    records: &[Arc<Record>],
    fence: Option<u64>,
) -> Vec<Result<Hint, PublishError>> {
    let mut outcomes = Vec::with_capacity(records.len());
    let failed = match Run::begin(nats, topic, lane, fence).await {
        Ok(run) => run.publish(records, &mut outcomes).await.err(),
        Err(error) => Some(error),
    };
    if let Some(error) = failed {
        outcomes.resize(records.len(), Err(error));
    }
    outcomes
}

impl<'a> Run<'a> {
    async fn begin(
        nats: &'a Nats,
        topic: &str,
        lane: Lane,
        fence: Option<u64>,
    ) -> Result<Run<'a>, PublishError> {
        nats.connection.reachable().map_err(unpublished)?;
        let names = nats.names(topic).map_err(unpublished)?;
        let stream = nats.streams.id(&nats.connection, &names).await.map_err(unpublished)?;
        Ok(Run { nats, names, stream, lane, fence })
    }

    async fn publish(
        &self,
        records: &[Arc<Record>],
        outcomes: &mut Vec<Result<Hint, PublishError>>,
    ) -> Result<(), PublishError> {
        let full = || PublishError::NotAcknowledged("too much waits for its acknowledgement".to_owned());
        let _room = self.nats.connection.room(records.len(), self.nats.ack_within).await.ok_or_else(full)?;
        let life = self.nats.connection.life();
        let mut last = self.prove(records, outcomes).await?;
        if outcomes.len() == records.len() {
            return Ok(());
        }
        let proved = outcomes.len().checked_sub(1).and_then(|stored| records.get(stored));
        let Some(id) = proved.map(|record| self.nats.mapping.id(record)) else { return Ok(()) };
        let proof = Proof { sequence: last, id };
        let after = proof.to_string();
        let mut sent = Vec::with_capacity(records.len());
        let mut failed = None;
        for record in records.iter().skip(outcomes.len()) {
            match self.send(record, Expected::After(&after)).await {
                Ok(acknowledgement) => sent.push(acknowledgement),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        for acknowledgement in sent {
            match acknowledgement.await {
                Ok(ack) if !ack.duplicate && ack.sequence <= proof.sequence => {
                    return Err(self.forgotten(ack.sequence, proof.sequence));
                }
                Ok(ack) => {
                    last = last.max(ack.sequence);
                    outcomes.push(Ok(self.stream.hint(ack.sequence)));
                }
                Err(error) => {
                    failed = Some(self.failed(&error));
                    break;
                }
            }
        }
        // On another connection there may be another state of the server.
        if self.nats.connection.life() != life
            && !head::holds(self.nats, &self.names, &proof).await.map_err(unpublished)?
        {
            return Err(self.forgotten(proof.sequence.saturating_sub(1), proof.sequence));
        }
        // After a failure, how many of those behind it are stored is not known.
        self.ends(last, failed.is_none());
        failed.map_or(Ok(()), Err)
    }

    /// Publishes one by one until a record was stored that was not there before; the lane's last sequence then.
    async fn prove(
        &self,
        records: &[Arc<Record>],
        outcomes: &mut Vec<Result<Hint, PublishError>>,
    ) -> Result<u64, PublishError> {
        let mut last = self.end().await?;
        let mut looks = 0;
        while let Some(record) = records.get(outcomes.len()) {
            let expected = if self.fence.is_some() { Expected::Last(last) } else { Expected::Nothing };
            match self.send(record, expected).await?.await {
                // It lies there already, somewhere at or before the end.
                Ok(PublishAck { duplicate: true, sequence, .. }) => {
                    outcomes.push(Ok(self.stream.hint(sequence)));
                }
                Ok(ack) => {
                    outcomes.push(Ok(self.stream.hint(ack.sequence)));
                    last = ack.sequence;
                    break;
                }
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence && looks < LOOKS_MAX => {
                    looks += 1;
                    last = self.look(last).await?;
                }
                Err(error) => {
                    self.ends(last, false);
                    return Err(self.failed(&error));
                }
            }
        }
        self.ends(last, true);
        Ok(last)
    }

    /// The lane's last sequence, as it is known or as it is.
    async fn end(&self) -> Result<u64, PublishError> {
        match self.nats.lanes.end(&self.stream, &self.names.stream, self.lane) {
            End::At(last) => Ok(last),
            End::AtLeast(known) if self.fence.is_none() => Ok(known),
            End::AtLeast(known) => self.look(known).await,
            End::OtherStream => Err(PublishError::Forgotten(format!(
                "the stream `{}` was removed and made anew",
                self.names.stream
            ))),
        }
    }

    /// Looks where the lane ends. Another relay's record there is a fence if its token is higher; and what ends before
    /// what was acknowledged has been forgotten.
    async fn look(&self, acknowledged: u64) -> Result<u64, PublishError> {
        let message = last_message(self.nats, &self.names, self.lane).await.map_err(unpublished)?;
        let last = message.map_or(Last { sequence: 0, fence: 0 }, |message| Last {
            sequence: message.sequence,
            fence: message
                .headers
                .get(FENCE)
                .and_then(|fence| fence.as_str().parse().ok())
                .unwrap_or_default(),
        });
        let (name, lane) = (&self.names.stream, self.lane);
        if self.fence.is_some_and(|fence| fence < last.fence)
            && self.nats.lanes.is_fenced(&self.stream, name, lane, last.sequence)
        {
            return Err(PublishError::Fenced);
        }
        // A lane whose last record became too old is empty, and nothing was forgotten that should be there.
        let forgotten = last.sequence < acknowledged;
        if forgotten && !(last.sequence == 0 && self.trims().await?) {
            return Err(self.forgotten(last.sequence, acknowledged));
        }
        Ok(last.sequence)
    }

    /// What was acknowledged is not there any more.
    fn forgotten(&self, ends: u64, acknowledged: u64) -> PublishError {
        let (name, lane) = (&self.names.stream, self.lane);
        self.nats.lanes.forget(name);
        PublishError::Forgotten(format!(
            "lane {lane} of `{name}` ends at {ends}, and {acknowledged} was acknowledged"
        ))
    }

    /// Whether the stream has removed anything by age or size.
    async fn trims(&self) -> Result<bool, PublishError> {
        let found = self.nats.streams.look(&self.nats.connection, &self.names).await.map_err(unpublished)?;
        Ok(found.id == self.stream && found.state.first_sequence > 1)
    }

    /// The lane ends there, for certain or at least. Without a fence nobody has looked, and it is never certain.
    fn ends(&self, acknowledged: u64, exact: bool) {
        let exact = exact && self.fence.is_some();
        self.nats.lanes.set(&self.stream, &self.names.stream, self.lane, acknowledged, exact);
    }

    /// Sends one record; its acknowledgement comes later.
    async fn send(
        &self,
        record: &Record,
        expected: Expected<'_>,
    ) -> Result<impl Future<Output = Acknowledged> + use<'a>, PublishError> {
        let within = self.nats.ack_within;
        let publish = message(self.nats, record, self.fence);
        let publish = match expected {
            Expected::Nothing => publish,
            Expected::Last(last) => publish.expected_last_subject_sequence(last),
            Expected::After(proof) => publish.header(AFTER, proof),
        };
        let sent = self.nats.connection.jetstream.send_publish(self.names.subject(self.lane), publish);
        match timeout(within, sent).await {
            Ok(Ok(acknowledgement)) => Ok(acknowledged(acknowledgement)),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(PublishError::NotAcknowledged("it could not be sent in time".to_owned())),
        }
    }

    /// Why this was not acknowledged.
    fn failed(&self, error: &async_nats::jetstream::context::PublishError) -> PublishError {
        match error.kind() {
            PublishErrorKind::StreamNotFound => {
                self.nats.streams.forget(&self.names);
                PublishError::Unavailable(format!("the stream `{}` is not there", self.names.stream))
            }
            PublishErrorKind::BrokenPipe => PublishError::Unavailable("the connection was lost".to_owned()),
            _ => {
                let refusal = self.nats.connection.refusal(&[&self.names.subject(self.lane)]);
                PublishError::NotAcknowledged(refusal.unwrap_or_else(|| with_cause(error)))
            }
        }
    }
}

type Acknowledged = Result<PublishAck, async_nats::jetstream::context::PublishError>;

/// Bounded in time by the context's own limit.
async fn acknowledged(acknowledgement: PublishAckFuture) -> Acknowledged {
    acknowledgement.await
}

/// A record as a message: CloudEvents, and what the server needs to drop it if it comes twice.
fn message(nats: &Nats, record: &Record, fence: Option<u64>) -> PublishMessage {
    let event = nats.mapping.record(record);
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, nats.mapping.id(record));
    for (name, value) in event.headers {
        // The mapping writes printable ASCII, which every header can hold.
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Some(fence) = fence {
        headers.insert(FENCE, fence.to_string());
    }
    PublishMessage::build().payload(event.payload).headers(headers)
}

/// Headers as the mapping reads them.
pub(crate) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().filter_map(|(name, values)| {
        let name: &str = name.as_ref();
        values.first().map(|value| (name, value.as_str().as_bytes()))
    })
}

/// A carrier that cannot be asked is one that nothing is published to.
fn unpublished(error: CarrierError) -> PublishError {
    match error {
        CarrierError::Unavailable(why) => PublishError::Unavailable(why),
        other => PublishError::NotAcknowledged(other.to_string()),
    }
}
