//! What an operator may do with parked keys.

use std::fmt;
use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_store::inbox::Inbox;
use divisi_store::parked::{self, Counts, ParkedKey, Parking};
use divisi_store::{Class, Read, Store, StoreError, Tx, TxFailed};
use tokio::sync::Notify;

/// The parked keys of one consumer. Cheap to clone.
#[derive(Clone)]
pub struct Parked {
    consumer: Arc<str>,
    store: Store,
    redrive: Arc<Notify>,
}

/// Why an operator's wish was not fulfilled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParkedError {
    /// No such key is parked.
    #[error("`{key}` of topic `{topic}` is not parked")]
    NotParked {
        /// The topic.
        topic: String,
        /// The key.
        key: String,
    },
    /// Nothing was changed.
    #[error("the store failed, nothing was changed")]
    Store(#[from] StoreError),
    /// The connection broke at the very end.
    #[error("it is not known whether it was done; look at the list")]
    Unknown(#[source] StoreError),
}

impl Parked {
    /// The parked keys of `consumer` in `store`, also of one that does not run.
    pub fn new(consumer: impl Into<Arc<str>>, store: Store) -> Parked {
        Parked { consumer: consumer.into(), store, redrive: Arc::default() }
    }

    pub(super) fn of_running(consumer: Arc<str>, store: Store, redrive: Arc<Notify>) -> Parked {
        Parked { consumer, store, redrive }
    }

    /// How many keys are parked, by state, and how many events wait.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.store.read(async |read: &mut Read| parked::counts(read, &self.consumer).await).await
    }

    /// The parked keys, the longest first, at most `most`.
    pub async fn list(&self, most: usize) -> Result<Vec<ParkedKey>, StoreError> {
        self.store.read(async |read: &mut Read| parked::list(read, &self.consumer, most).await).await
    }

    /// Has the key tried again now, with all its attempts before it. It runs by itself, in order, and is parked again
    /// if it fails again.
    pub async fn redrive(&self, source: &str, topic: &str, key: &str) -> Result<(), ParkedError> {
        let inbox = self.inbox(source, topic);
        let retried = self
            .store
            .run(Class::Upkeep, async |tx: &mut Tx| Parking { inbox: &inbox, key }.retry(tx).await)
            .await;
        if !done(retried)? {
            return Err(not_parked(topic, key));
        }
        self.redrive.notify_one();
        Ok(())
    }

    /// Gives up the key and its events for good; how many events those were. Later events of the key are applied
    /// again.
    pub async fn drop(&self, source: &str, topic: &str, key: &str) -> Result<u64, ParkedError> {
        let inbox = self.inbox(source, topic);
        let dropped = self
            .store
            .run(Class::Upkeep, async |tx: &mut Tx| {
                let parking = Parking { inbox: &inbox, key };
                inbox.hold(tx, parking.lane()).await?;
                match parking.look(tx).await? {
                    None => Ok(None),
                    Some(_) => parking.drop(tx).await.map(Some),
                }
            })
            .await;
        done(dropped)?.ok_or_else(|| not_parked(topic, key))
    }

    fn inbox(&self, source: &str, topic: &str) -> Inbox {
        Inbox {
            consumer: Arc::clone(&self.consumer),
            source: ServiceName::from(source),
            topic: Arc::from(topic),
        }
    }
}

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

fn done<T, P>(outcome: Result<(T, P), TxFailed<StoreError>>) -> Result<T, ParkedError> {
    match outcome {
        Ok((value, _)) => Ok(value),
        Err(TxFailed::Body(error) | TxFailed::DidNotHappen(error)) => Err(ParkedError::Store(error)),
        Err(TxFailed::MayHaveHappened(error)) => Err(ParkedError::Unknown(error)),
    }
}

fn not_parked(topic: &str, key: &str) -> ParkedError {
    ParkedError::NotParked { topic: topic.to_owned(), key: key.to_owned() }
}
