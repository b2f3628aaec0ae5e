//! What a broker must offer to spread events. It is never trusted: only content is.

use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_contract::ServiceName;
use divisi_store::{Epoch, Epochs, Lane, Pos, Record};

/// Where a record lies on a carrier: `<carrier>:<stream or topic id>:<offset>`. A hint, where to resume; another id
/// makes it void.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hint(pub Arc<str>);

/// What a carrier holds at the end of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// This epoch and position.
    At(Epoch, Pos),
    /// Nothing of this lane.
    Empty,
    /// It cannot tell.
    Unknown,
}

/// What comes out of a carrier.
#[derive(Debug, Clone, PartialEq)]
pub enum Carried {
    /// A record, and where it lies.
    Record(Arc<Record>, Hint),
    /// What the source says of itself every few seconds, for readers that cannot reach it.
    Beacon {
        /// The source's list of epochs.
        epochs: Epochs,
        /// The end of each lane.
        heads: Vec<(Lane, Pos)>,
    },
}

/// Why a record was not published.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It was not stored, or that is not known; publishing it again does no harm.
    #[error("the carrier did not acknowledge the record: {0}")]
    NotAcknowledged(String),
    /// Another relay has taken over.
    #[error("another relay publishes this lane now")]
    Fenced,
    /// The carrier holds less of the lane than it once acknowledged: it was put back in time, or made anew. The relay
    /// begins again at what it holds.
    #[error("the carrier no longer holds what it had acknowledged: {0}")]
    Forgotten(String),
    /// The carrier is not reachable.
    #[error("the carrier is not reachable: {0}")]
    Unavailable(String),
}

/// Why a carrier could not be asked or read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CarrierError {
    /// It is not reachable.
    #[error("the carrier is not reachable: {0}")]
    Unavailable(String),
    /// The stream or topic is not what it should be.
    #[error("{0}")]
    Misconfigured(String),
}

/// A stream of what a carrier brings, without an end.
pub trait Arrivals: Send {
    /// The next arrival; `None` when the subscription is over and must be begun again. Dropping the future loses nothing: it is polled
    /// once, too, to see what has come already.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Carried, CarrierError>>>;
}

/// A broker that spreads events. It may lose, repeat, reorder, forget and vanish.
pub trait Carrier: Send + Sync + 'static {
    /// The name that its hints begin with.
    fn name(&self) -> &str;

    /// Publishes records of one lane, in order, at least once. One outcome a record; later ones may be stored though
    /// an earlier one was not. `fence` is the relay's lease token, for brokers that can compare it.
    fn publish<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
        records: &'a [Arc<Record>],
        fence: Option<u64>,
    ) -> BoxFuture<'a, Vec<Result<Hint, PublishError>>>;

    /// Publishes what a source says of itself.
    fn beacon<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        epochs: &'a Epochs,
        heads: &'a [(Lane, Pos)],
    ) -> BoxFuture<'a, Result<(), PublishError>>;

    /// What it holds at the end of a lane.
    fn head<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
    ) -> BoxFuture<'a, Result<Head, CarrierError>>;

    /// Reads lanes of a topic, each from its hint, or from the carrier's end when there is none or it is void.
    fn read<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        from: Vec<(Lane, Option<Hint>)>,
    ) -> BoxFuture<'a, Result<Box<dyn Arrivals>, CarrierError>>;
}
