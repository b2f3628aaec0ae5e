//! Reading: manual assignment, from hints, never as a member of a group.
//!
//! A broker that is away ends no subscription: librdkafka tries again by itself, and readers have the log meanwhile.
//! What it cannot mend does: a topic that is gone, credentials that are refused, a partition that stands still.

mod begin;
mod stalls;

use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_events::carrier::{Arrivals, Carried, CarrierError};
use divisi_events::cloud_event::Content;
use divisi_store::Lane;
use rdkafka::Offset;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::Duration;
use tokio::task::coop::consume_budget;
use tracing::debug;

use crate::client::Words;
use crate::elsewhere::Elsewhere;
use crate::error;
use crate::incoming::{Incoming, Reader, place_of};
use crate::options::Options;
use crate::place::Place;
use crate::topic::Topic;
pub(crate) use begin::begin;
use stalls::Stalls;

/// The client of one subscription.
type Client = StreamConsumer<Words>;

/// A subscription to some lanes of a topic.
pub(crate) struct KafkaArrivals {
    client: Elsewhere<Arc<Client>>,
    options: Arc<Options>,
    topic: Topic,
    reader: Reader,
    /// By lane: whether it is wanted.
    wanted: Vec<bool>,
    partitions: Vec<Following>,
    stalls: Stalls,
}

/// One partition that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Following {
    partition: i32,
    /// The offset that comes next.
    next: i64,
    /// Where the partition ended when the subscription began.
    end: i64,
    /// The record that must lie where reading began; else the hint that led there was void.
    hinted: Option<Place>,
}

/// What the client brought.
enum Got {
    Event(Incoming),
    Beacon(Incoming),
    Failed(KafkaError),
}

impl Arrivals for KafkaArrivals {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Carried, CarrierError>>> {
        Box::pin(async move {
            loop {
                consume_budget().await;
                let got = tokio::select! {
                    biased;
                    got = receive(&self.client, &self.topic, &self.reader) => got,
                    stalled = self.stalls.look(&self.client, &self.topic.events, &self.partitions) => {
                        return Some(Err(stalled));
                    }
                };
                match got {
                    Got::Event(incoming) => {
                        if let Some(carried) = self.event(incoming) {
                            return Some(Ok(carried));
                        }
                    }
                    Got::Beacon(incoming) => {
                        if let Some(Content::Beacon { epochs, heads, .. }) = incoming.content {
                            return Some(Ok(Carried::Beacon { epochs, heads }));
                        }
                    }
                    Got::Failed(failed) if ends(&failed) => {
                        return Some(Err(error::carrier(
                            &self.options,
                            &format!("cannot read `{}`", self.topic.events),
                            &failed,
                        )));
                    }
                    Got::Failed(failed) => debug!(event.topic = %self.topic.events, "{failed}"),
                }
            }
        })
    }
}

impl KafkaArrivals {
    /// What a message of the topic of events brings; `None` if nothing that is wanted.
    fn event(&mut self, incoming: Incoming) -> Option<Carried> {
        let Incoming { partition, offset, content } = incoming;
        let following = self.partitions.iter_mut().find(|following| following.partition == partition)?;
        let place = match &content {
            Some(Content::Record(record)) => Some(place_of(record, partition, offset)),
            _ => None,
        };
        following.next = offset + 1;
        if let Some(hinted) = following.hinted.take()
            && place != Some(hinted)
        {
            self.void(partition);
            return None;
        }
        let Some(Content::Record(record)) = content else { return None };
        if !self.wanted.get(usize::from(record.lane.0)).is_some_and(|wanted| *wanted) {
            return None;
        }
        let hint = place?.hint(&self.topic.events);
        Some(Carried::Record(Arc::new(record), hint))
    }

    /// What lies where a hint led is not what it named: the partition is read from where it ended.
    fn void(&mut self, partition: i32) {
        let Some(following) = self.partitions.iter_mut().find(|following| following.partition == partition)
        else {
            return;
        };
        following.next = following.end;
        let sought =
            self.client.seek(&self.topic.events, partition, Offset::Offset(following.end), Duration::ZERO);
        debug!(
            event.topic = %self.topic.events,
            carrier.partition = partition,
            "the hint is void, reading from {}: {sought:?}",
            following.end
        );
    }
}

/// Waits for what the client brings. Dropping the future loses nothing.
async fn receive(client: &Client, topic: &Topic, reader: &Reader) -> Got {
    use rdkafka::Message as _;
    match client.recv().await {
        Ok(message) if message.topic() == topic.events => Got::Event(reader.read(&message)),
        Ok(message) => Got::Beacon(reader.read(&message)),
        Err(failed) => Got::Failed(failed),
    }
}

/// Whether a failure is one that the client does not mend by itself.
fn ends(failed: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    if matches!(failed, KafkaError::MessageConsumptionFatal(_)) {
        return true;
    }
    matches!(
        failed.rdkafka_error_code(),
        Some(
            Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication
                | Code::Fatal
        )
    )
}

/// By lane: whether it is among these.
fn wanted(lanes: impl Iterator<Item = Lane>) -> Vec<bool> {
    let mut wanted = Vec::new();
    for lane in lanes.map(|lane| usize::from(lane.0)) {
        if wanted.len() <= lane {
            wanted.resize(lane + 1, false);
        }
        wanted[lane] = true;
    }
    wanted
}
