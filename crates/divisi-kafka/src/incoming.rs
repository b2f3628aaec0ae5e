//! A message of Kafka as what it says; strangers may have written it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_events::cloud_event::{CloudEvents, Content};
use divisi_store::Record;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tracing::debug;

use crate::place::Place;

/// A message that was read.
pub(crate) struct Incoming {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// What it says; `None` when it is nobody's event, or not of the source and topic that are read.
    pub(crate) content: Option<Content>,
}

/// Reads what is of one source and topic.
#[derive(Clone)]
pub(crate) struct Reader {
    mapping: CloudEvents,
    source: ServiceName,
    topic: Arc<str>,
}

impl Reader {
    pub(crate) fn new(mapping: CloudEvents, source: ServiceName, topic: Arc<str>) -> Reader {
        Reader { mapping, source, topic }
    }

    /// Reads a message. What cannot be read is passed over, since a reader who misses it asks the log.
    pub(crate) fn read(&self, message: &BorrowedMessage<'_>) -> Incoming {
        let (partition, offset) = (message.partition(), message.offset());
        Incoming { partition, offset, content: self.content(message) }
    }

    fn content(&self, message: &BorrowedMessage<'_>) -> Option<Content> {
        // The client panics at a header whose name is not UTF-8, and anybody who may write to the topic can write one.
        let headers = || message.headers().map(|headers| headers.iter().collect::<Vec<_>>());
        let Ok(headers) = catch_unwind(AssertUnwindSafe(headers)) else {
            debug!(event.topic = message.topic(), "passed over a message whose headers are not text");
            return None;
        };
        let headers = headers.unwrap_or_default();
        let headers = headers.iter().map(|header| (header.key, header.value.unwrap_or_default()));
        match self.mapping.read(headers, message.payload().unwrap_or_default()) {
            Ok(content) => Some(content).filter(|content| self.is_wanted(content)),
            Err(error) => {
                let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
                debug!(event.topic = topic, "passed over {partition}/{offset} of `{topic}`: {error}");
                None
            }
        }
    }

    fn is_wanted(&self, content: &Content) -> bool {
        let (source, topic) = match content {
            Content::Record(record) => (&record.source, &record.topic),
            Content::Beacon { source, topic, .. } => (source, topic),
        };
        *source == self.source && *topic == self.topic
    }
}

/// Where a record lies.
pub(crate) fn place_of(record: &Record, partition: i32, offset: i64) -> Place {
    Place { partition, offset, lane: record.lane, epoch: record.epoch, pos: record.pos }
}
