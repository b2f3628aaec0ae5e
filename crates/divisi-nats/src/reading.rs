//! Reads lanes of a topic through a consumer that the server forgets by itself.
//!
//! It is made for one subscription and never resumed: whatever goes wrong with it (a server that restarts, a stream
//! that is made anew, a message or a heartbeat that does not come) ends the subscription, and the next one begins at
//! the hints.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use divisi_call::BoxFuture;
use divisi_events::Hint;
use divisi_events::carrier::{Arrivals, Carried, CarrierError};
use divisi_events::cloud_event::{CloudEvents, Content};
use divisi_store::Lane;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::head::last_sequence;
use crate::names::{Names, StreamId};
use crate::nats::Nats;
use crate::publishing::pairs;
use crate::streams::with_cause;

/// How often an idle subscription hears from the server; one that misses two is over.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long the server keeps a question that it has nothing for.
const EXPIRES: Duration = Duration::from_secs(20);
/// Messages of one question.
const MESSAGES_MAX: usize = 512;
/// Bytes of one question: twice the largest message that a server takes by default.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long the server remembers a consumer that nobody asks.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// Lanes that are named one by one, as one of several instances does; more are all asked for, and those that are not wanted are passed
/// over.
const FILTERS_MAX: usize = 32;

/// What comes out of one subscription.
pub(crate) struct NatsArrivals {
    mapping: CloudEvents,
    names: Names,
    stream: StreamId,
    messages: pull::Stream,
    beacons: Subscriber,
    /// The last sequence of each lane that is not wanted any more.
    behind: HashMap<Lane, u64>,
    /// How many messages the server has delivered to its consumer.
    delivered: u64,
    said_unreadable: bool,
}

impl NatsArrivals {
    /// Subscribes: each lane from its hint, or from the end when there is none or it is void.
    pub(crate) async fn begin(
        nats: &Nats,
        topic: &str,
        from: Vec<(Lane, Option<Hint>)>,
    ) -> Result<NatsArrivals, CarrierError> {
        let names = nats.names(topic)?;
        let found = nats.streams.look(&nats.connection, &names).await?;
        let end = found.state.last_sequence;
        let (behind, start) = starts(nats, &names, &found.id, end, from).await?;
        let late = || {
            let otherwise = format!("no answer to a subscription to `{}` in time", names.stream);
            unanswered(nats, &names, otherwise)
        };
        let beacons =
            timeout(nats.answer_within, nats.connection.client.subscribe(names.beacons.clone())).await;
        let beacons = beacons.map_err(|_| late())?.map_err(|error| unavailable(&error))?;
        let subscribed = timeout(nats.answer_within, subscribe(nats, &names, &behind, start)).await;
        let messages = subscribed.map_err(|_| late())??;
        Ok(NatsArrivals {
            mapping: nats.mapping.clone(),
            names,
            stream: found.id,
            messages,
            beacons,
            behind,
            delivered: 0,
            said_unreadable: false,
        })
    }

    /// A message of the stream; nothing if it is not wanted or cannot be read.
    fn record(&mut self, message: &Message) -> Result<Option<Carried>, CarrierError> {
        let info = message.info().map_err(|_| {
            CarrierError::Unavailable("the server sent a message without its place".to_owned())
        })?;
        if info.consumer_sequence != self.delivered + 1 {
            let words = format!("messages of `{}` were lost on the way", self.names.stream);
            return Err(CarrierError::Unavailable(words));
        }
        self.delivered = info.consumer_sequence;
        let lane = self.names.lane(&message.subject);
        let Some((lane, behind)) = lane.and_then(|lane| Some((lane, self.behind.get_mut(&lane)?))) else {
            return Ok(None);
        };
        if info.stream_sequence <= *behind {
            return Ok(None);
        }
        *behind = info.stream_sequence;
        let headers = message.headers.iter().flat_map(pairs);
        match self.mapping.read(headers, &message.payload) {
            Ok(Content::Record(record)) if record.lane == lane && record.topic == self.names.topic => {
                Ok(Some(Carried::Record(Arc::new(record), self.stream.hint(info.stream_sequence))))
            }
            Ok(_) => {
                self.unreadable(&message.subject, "it belongs elsewhere");
                Ok(None)
            }
            Err(error) => {
                self.unreadable(&message.subject, &error);
                Ok(None)
            }
        }
    }

    fn beacon(&mut self, message: &async_nats::Message) -> Option<Carried> {
        let headers = message.headers.iter().flat_map(pairs);
        match self.mapping.read(headers, &message.payload) {
            Ok(Content::Beacon { topic, epochs, heads, .. }) if topic == self.names.topic => {
                Some(Carried::Beacon { epochs, heads })
            }
            Ok(_) => None,
            Err(error) => {
                self.unreadable(&message.subject, &error);
                None
            }
        }
    }

    /// What cannot be read is passed over, and its lane finds it in the log. Said once a subscription.
    fn unreadable(&mut self, subject: &str, why: impl std::fmt::Display) {
        let stream = &self.names.stream;
        if self.said_unreadable {
            debug!(carrier.stream = %stream, carrier.subject = subject, "passed over a message: {why}");
            return;
        }
        self.said_unreadable = true;
        warn!(
            carrier.stream = %stream,
            carrier.subject = subject,
            "a message of `{subject}` cannot be read and is passed over, its lane is read from the log: {why}"
        );
    }
}

impl Arrivals for NatsArrivals {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Carried, CarrierError>>> {
        Box::pin(async move {
            loop {
                tokio::select! {
                    biased;
                    message = self.messages.next() => match message? {
                        Ok(message) => match self.record(&message) {
                            Ok(None) => {}
                            Ok(Some(carried)) => return Some(Ok(carried)),
                            Err(error) => return Some(Err(error)),
                        },
                        Err(error) => return Some(Err(unavailable(&error))),
                    },
                    message = self.beacons.next() => {
                        if let Some(carried) = self.beacon(&message?) {
                            return Some(Ok(carried));
                        }
                    }
                }
            }
        })
    }
}

/// Behind which sequence each lane is wanted, and from which on the stream is read.
///
/// A lane whose hint is its last message would else pull everybody back to where it has been resting: so the ends of
/// lanes with older hints are asked for.
async fn starts(
    nats: &Nats,
    names: &Names,
    stream: &StreamId,
    end: u64,
    from: Vec<(Lane, Option<Hint>)>,
) -> Result<(HashMap<Lane, u64>, u64), CarrierError> {
    let asked = from.into_iter().map(|(lane, hint)| async move {
        let hinted = hint.and_then(|hint| stream.sequence(&hint)).filter(|sequence| *sequence < end);
        let Some(hinted) = hinted else { return Ok((lane, end)) };
        let last = last_sequence(nats, names, lane).await?;
        Ok((lane, if last <= hinted { end } else { hinted }))
    });
    let behind: HashMap<Lane, u64> =
        join_all(asked).await.into_iter().collect::<Result<_, CarrierError>>()?;
    let start = behind.values().copied().min().unwrap_or(end) + 1;
    Ok((behind, start))
}

async fn subscribe(
    nats: &Nats,
    names: &Names,
    lanes: &HashMap<Lane, u64>,
    start_sequence: u64,
) -> Result<pull::Stream, CarrierError> {
    let filters = match lanes.len() {
        0..=FILTERS_MAX => lanes.keys().map(|lane| names.subject(*lane)).collect(),
        _ => vec![names.subjects.clone()],
    };
    let config = pull::Config {
        description: Some("a Divisi consumer's subscription".to_owned()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
        ack_policy: AckPolicy::None,
        filter_subjects: filters,
        inactive_threshold: FORGOTTEN_AFTER,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let made = nats.connection.jetstream.create_consumer_on_stream(config, &names.stream).await;
    let consumer = made.map_err(|error| unanswered(nats, names, with_cause(&error)))?;
    let questions = consumer
        .stream()
        .max_messages_per_batch(MESSAGES_MAX)
        .max_bytes_per_batch(BYTES_MAX)
        .expires(EXPIRES)
        .heartbeat(HEARTBEAT);
    questions.messages().await.map_err(|error| unavailable(&error))
}

/// There was no answer, or there will never be one.
fn unanswered(nats: &Nats, names: &Names, otherwise: String) -> CarrierError {
    let asked = format!("$JS.API.CONSUMER.CREATE.{}", names.stream);
    nats.connection.unanswered(&[&asked, &names.beacons], otherwise)
}

fn unavailable(error: &dyn std::error::Error) -> CarrierError {
    CarrierError::Unavailable(with_cause(error))
}
