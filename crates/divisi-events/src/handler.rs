//! What a service does with an event: reactions on its own store, folds into a read model.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use divisi_contract::Event;
use divisi_store::{BoxFuture, Read, Record, StoreError, Tx, ValueRef};

/// Why a handler did not apply an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Something that it builds on has not arrived. The event's key waits, other keys flow; it is tried again when
    /// an event of this topic and key has been applied.
    #[error("waits for `{key}` of topic `{topic}`")]
    NotYet {
        /// The topic of what is missing.
        topic: &'static str,
        /// The key of what is missing.
        key: String,
    },
    /// The same will work later: the lane waits and tries again, for ever.
    #[error("{0}")]
    Transient(String),
    /// It will never work as it is: the key is parked with this reason.
    #[error("{0}")]
    Permanent(String),
    /// Not known which of the two: tried a few times, then parked.
    #[error("{0}")]
    Unclassified(String),
}

/// A function that applies events of type `E` through a `T`: [`Tx`] for a reaction, [`Fold`] for a projection.
///
/// Implemented by every `async fn(&mut Tx, &E) -> Result<(), Failure>`.
#[diagnostic::on_unimplemented(
    message = "this is not a handler of `{E}`",
    label = "a handler is `async fn(tx: &mut Tx, event: &{E}) -> Result<(), Failure>`",
    note = "in a projection it is `async fn(fold: &mut Fold<'_>, event: &{E}) -> Result<(), Failure>`"
)]
pub trait Handler<'a, T: 'a, E: 'a>: Send + Sync + 'static {
    /// The handler at work.
    type Working: Future<Output = Result<(), Failure>> + Send + 'a;

    /// Applies one event.
    fn handle(&self, through: &'a mut T, event: &'a E) -> Self::Working;
}

impl<'a, T: 'a, E: 'a, F, W> Handler<'a, T, E> for F
where
    F: Fn(&'a mut T, &'a E) -> W + Send + Sync + 'static,
    W: Future<Output = Result<(), Failure>> + Send + 'a,
{
    type Working = W;

    fn handle(&self, through: &'a mut T, event: &'a E) -> W {
        self(through, event)
    }
}

/// What a projection's handler gets: rows of the read model and nothing else. It cannot emit: a projection is a fold
/// of events, may be deleted and rebuilt, and must come out the same.
pub struct Fold<'t> {
    tx: &'t mut Tx,
}

impl<'t> Fold<'t> {
    /// The rows behind `tx`.
    pub fn new(tx: &'t mut Tx) -> Fold<'t> {
        Fold { tx }
    }

    /// Runs a statement that changes rows; how many it changed.
    pub async fn execute(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<u64, StoreError> {
        self.tx.execute(sql, params).await
    }

    /// Runs a statement that changes rows, where nobody asks how many: a server is not waited for; see [`Tx::send`]. What it says against the
    /// statement fails this event and no other.
    pub async fn send(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<(), StoreError> {
        self.tx.send(sql, params).await
    }
}

impl Deref for Fold<'_> {
    type Target = Read;

    fn deref(&self) -> &Read {
        self.tx
    }
}

impl DerefMut for Fold<'_> {
    fn deref_mut(&mut self) -> &mut Read {
        self.tx
    }
}

type Erased = Arc<dyn for<'a> Fn(&'a mut Tx, &'a Record) -> BoxFuture<'a, Result<(), Failure>> + Send + Sync>;

/// The handlers of one consumer, by topic and event name.
#[derive(Clone, Default)]
pub struct Handlers {
    by_topic: BTreeMap<&'static str, BTreeMap<&'static str, (u32, Erased)>>,
    twice: Vec<&'static str>,
}

impl Handlers {
    /// None yet.
    pub fn new() -> Handlers {
        Handlers::default()
    }

    /// Applies events of type `E` by `handler`, in the service's own store: it may write rows and emit.
    #[must_use]
    pub fn react<E, H>(self, handler: H) -> Handlers
    where
        E: Event,
        H: for<'a> Handler<'a, Tx, E>,
    {
        let handler = Arc::new(handler);
        self.insert::<E>(Arc::new(move |tx, record| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler.handle(tx, &decode(record)?).await })
        }))
    }

    /// Folds events of type `E` into a read model by `handler`.
    #[must_use]
    pub fn fold<E, H>(self, handler: H) -> Handlers
    where
        E: Event,
        H: for<'a> Handler<'a, Fold<'a>, E>,
    {
        let handler = Arc::new(handler);
        self.insert::<E>(Arc::new(move |tx, record| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let event = decode(record)?;
                let mut fold = Fold::new(tx);
                handler.handle(&mut fold, &event).await
            })
        }))
    }

    /// The topics that have handlers.
    pub fn topics(&self) -> impl Iterator<Item = &'static str> {
        self.by_topic.keys().copied()
    }

    /// The names of events that are handled, by topic.
    pub fn events(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.by_topic.iter().flat_map(|(topic, events)| events.keys().map(|event| (*topic, *event)))
    }

    /// The names of events that were given a handler more than once: the last one counts, which nobody can have meant.
    pub fn handled_twice(&self) -> &[&'static str] {
        &self.twice
    }

    /// Whether the record has a handler here; one that has none is skipped.
    pub fn handles(&self, record: &Record) -> bool {
        self.find(record).is_some()
    }

    /// Applies the record; one without a handler is skipped, one of a newer shape is refused for good.
    pub async fn apply(&self, tx: &mut Tx, record: &Record) -> Result<(), Failure> {
        let Some((version, handler)) = self.find(record) else { return Ok(()) };
        if record.schema_v > *version {
            return Err(Failure::Permanent(format!(
                "`{}` has version {}, this consumer knows {version}; deploy a newer consumer, then redrive",
                record.kind, record.schema_v
            )));
        }
        handler(tx, record).await
    }

    fn find(&self, record: &Record) -> Option<&(u32, Erased)> {
        self.by_topic.get(&*record.topic)?.get(&*record.kind)
    }

    fn insert<E: Event>(mut self, handler: Erased) -> Handlers {
        let before = self.by_topic.entry(E::TOPIC).or_default().insert(E::NAME, (E::VERSION, handler));
        self.twice.extend(before.map(|_| E::NAME));
        self
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.events()).finish()
    }
}

impl Failure {
    /// The event builds on one with `key` of the topic of `E`, which has not arrived.
    pub fn not_yet<E: Event>(key: impl Into<String>) -> Failure {
        Failure::NotYet { topic: E::TOPIC, key: key.into() }
    }

    /// It will never work as it is.
    pub fn permanent(reason: impl fmt::Display) -> Failure {
        Failure::Permanent(reason.to_string())
    }

    /// It will work later.
    pub fn transient(reason: impl fmt::Display) -> Failure {
        Failure::Transient(reason.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        if error.is_transient() {
            Failure::Transient(error.message)
        } else {
            Failure::Unclassified(error.message)
        }
    }
}

fn decode<E: Event>(record: &Record) -> Result<E, Failure> {
    record
        .decode()
        .map_err(|error| Failure::Permanent(format!("`{}` cannot be decoded: {error}", record.kind)))
}
