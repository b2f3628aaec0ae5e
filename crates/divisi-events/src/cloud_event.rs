//! How an event looks to strangers on a carrier: CloudEvents 1.0, attributes as headers, the event itself as the body.
//!
//! All carriers share this mapping; they differ in how an attribute becomes a header. The position stands in headers,
//! and they are the truth: `id` names it too, for people.

mod beacon;
mod error;
mod headers;
pub mod percent;
mod record;
mod structured;
mod time;

use std::sync::Arc;

use bytes::Bytes;
use divisi_contract::ServiceName;
use divisi_store::{Epochs, Lane, Pos, Record};

pub use error::CloudEventError;
use headers::{Attribute, Attributes};

/// The type of the record in which a source tells its epochs and heads.
pub const BEACON_TYPE: &str = "divisi.beacon.v1";

/// The mapping between records and the messages of one kind of carrier, for one app.
///
/// Writing never fails and reading what was written brings the same record, headers included to the letter. Reading
/// anything else is an error that names the header. The time of a record is written to the microsecond, within the
/// years 0 to 9999. `dataschema` is left out: a record does not know the hash of its schema.
///
/// ```
/// # use std::sync::Arc;
/// # use divisi_store::{Epoch, Lane, Pos, Record, Timestamp};
/// use divisi_events::cloud_event::{CloudEvents, Content};
///
/// # let record = Record {
/// #     source: "shop".into(), topic: "sales".into(), lane: Lane(3), epoch: Epoch(17), pos: Pos(4), kind: "Sold".into(),
/// #     schema_v: 1, key: "apple".into(), headers: "{}".into(), payload: "{}".into(), at: Timestamp(0),
/// # };
/// let mapping = CloudEvents::nats("market");
/// let message = mapping.record(&record);
/// assert!(message.headers.contains(&("ce-type", "market.shop.Sold.v1".to_owned())));
///
/// let headers = message.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
/// assert_eq!(mapping.read(headers, &message.payload), Ok(Content::Record(record)));
/// ```
#[derive(Debug, Clone)]
pub struct CloudEvents {
    binding: Binding,
    /// The first part of every `type`.
    app: Arc<str>,
}

/// A message as it lies on a carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Names with the carrier's prefix, and values. No name stands twice.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub payload: Bytes,
}

/// What a message turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An event.
    Record(Record),
    /// What a source says of itself.
    Beacon {
        /// The source.
        source: ServiceName,
        /// The topic.
        topic: Arc<str>,
        /// The source's list of epochs.
        epochs: Epochs,
        /// The end of each lane.
        heads: Vec<(Lane, Pos)>,
    },
}

/// How a kind of carrier writes an attribute as a header.
#[derive(Debug, Clone, Copy)]
struct Binding {
    /// What the headers of attributes begin with; but not that of `datacontenttype` everywhere.
    prefix: &'static str,
    header: fn(Attribute) -> &'static str,
    /// Whether values outside of printable ASCII are percent-encoded.
    percent: bool,
}

impl CloudEvents {
    /// As the binding for NATS has it: `ce-` before each attribute, values percent-encoded.
    pub fn nats(app: impl Into<Arc<str>>) -> CloudEvents {
        let binding = Binding { prefix: "ce-", header: |attribute| attribute.nats, percent: true };
        CloudEvents { binding, app: app.into() }
    }

    /// As the binding for Kafka has it: `ce_` before each attribute but `content-type`, values in UTF-8. The record's
    /// key on Kafka is the event's key; this mapping does not need it.
    pub fn kafka(app: impl Into<Arc<str>>) -> CloudEvents {
        let binding = Binding { prefix: "ce_", header: |attribute| attribute.kafka, percent: false };
        CloudEvents { binding, app: app.into() }
    }

    /// The message of a record, in binary mode.
    pub fn record(&self, record: &Record) -> Message {
        let mut headers = headers::Written::new(self.binding);
        record::write(&mut headers, &self.app, record);
        Message { headers: headers.into_inner(), payload: record.payload.clone() }
    }

    /// The value of the header of a record's `id`.
    pub fn id(&self, record: &Record) -> String {
        self.binding.encoded(record::id(record))
    }

    /// The message in which a source tells what it says of itself.
    pub fn beacon(
        &self,
        source: &ServiceName,
        topic: &str,
        epochs: &Epochs,
        heads: &[(Lane, Pos)],
    ) -> Message {
        let mut headers = headers::Written::new(self.binding);
        beacon::write(&mut headers, source, topic, epochs);
        Message { headers: headers.into_inner(), payload: beacon::body(epochs, heads) }
    }

    /// What a message is, in binary or structured mode.
    ///
    /// Names of headers are compared without case; the first of two that are equal counts, and those that mean nothing
    /// here are passed over.
    pub fn read<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        payload: &[u8],
    ) -> Result<Content, CloudEventError> {
        let binary = Attributes::binary(self.binding, headers);
        let (attributes, payload) = match binary.structured()? {
            true => structured::read(self.binding, payload)?,
            false => (binary, payload),
        };
        if attributes.is_beacon() {
            beacon::read(&attributes, payload)
        } else {
            // What was received with it may be much larger, and would be held for as long.
            record::read(&attributes, &self.app, Bytes::copy_from_slice(payload)).map(Content::Record)
        }
    }
}

#[cfg(test)]
mod tests;
