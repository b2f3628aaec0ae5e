//! The handle through which a service uses its database.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use divisi_contract::{CallError, CauseKind, Context, KeptAnswers, Keyed, ServiceName, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::BoxFuture;
use crate::backend::{Backend, Class, CommitError};
use crate::error::{StoreError, StoreErrorKind};
use crate::record::Position;
use crate::seen::{self, Claim};
use crate::transaction::{Read, Tx};

/// A service's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    service: ServiceName,
    topics: Arc<[&'static str]>,
}

/// Why a transaction brought nothing.
#[derive(Debug)]
pub enum TxFailed<E> {
    /// The closure failed; everything was undone.
    Body(E),
    /// The database undid everything; it may be tried again.
    DidNotHappen(StoreError),
    /// It may be in the database after all.
    MayHaveHappened(StoreError),
}

thread_local! {
    /// Whether a transaction's closure is being polled on this thread.
    static IN_TRANSACTION: Cell<bool> = const { Cell::new(false) };
}

impl Store {
    /// A handle of `service` on `backend`; `topics` are those that it owns. Made by back ends.
    pub fn new(backend: Arc<dyn Backend>, service: ServiceName, topics: Arc<[&'static str]>) -> Store {
        Store { backend, service, topics }
    }

    /// The service whose database it is.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The topics that the service owns.
    pub fn topics(&self) -> &[&'static str] {
        &self.topics
    }

    /// The seam below, for the framework's own crates.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Runs `body` in a transaction: the only way to write.
    ///
    /// Rows that it changes and events that it emits commit together, or not at all when it answers an error. An
    /// answer is given only when it is durable. [`CallError::NotRun`] means that nothing happened;
    /// [`CallError::MayHaveRun`] that it is not known.
    ///
    /// In a keyed method that was called with a key, the closure's value is kept as the method's answer, in the same
    /// transaction: the method returns it unchanged and has no second `transact`.
    ///
    /// `body` makes no calls and does no I/O but on its [`Tx`]. On SQLite it runs within one poll; there, waiting
    /// for anything else undoes it.
    pub async fn transact<T, R, F>(&self, cx: &Context, body: F) -> Result<T, CallError<R>>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, CallError<R>>,
        T: Serialize + DeserializeOwned,
    {
        self.transact_at(cx, body).await.map(|(value, _)| value)
    }

    /// [`Store::transact`], with the positions of the events that it emitted; none where they are given behind COMMIT, in a service
    /// that is stricter than [`Isolation::ReadCommitted`](crate::Isolation::ReadCommitted).
    pub async fn transact_at<T, R, F>(
        &self,
        cx: &Context,
        body: F,
    ) -> Result<(T, Vec<Position>), CallError<R>>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, CallError<R>>,
        T: Serialize + DeserializeOwned,
    {
        let keyed = cx.keyed().map(Arc::as_ref);
        if keyed.is_some_and(|keyed| !keyed.begin()) {
            // The first one may have been committed, so the method may have run.
            return Err(CallError::unknown(
                CauseKind::Bug,
                "a keyed method has one `transact`, whose value is its answer; this was a second one",
            ));
        }
        let trace = cx.trace();
        let outcome = self
            .run(Class::Call, async move |tx: &mut Tx| {
                tx.set_cause(trace, None);
                let Some(keyed) = keyed else { return body(tx).await.map(Done::Now) };
                match seen::claim(tx, keyed).await? {
                    Claim::New => {}
                    // It ends like one that changed something: what it saw may be of a twin in the same group, and is
                    // as true as that group's commit.
                    Claim::Kept(bytes) => return Ok(Done::Before(bytes)),
                    Claim::OtherArguments => return Err(key_reused(keyed)),
                }
                let value = body(tx).await?;
                let bytes = codec::encode(&value).map_err(|error| malformed(&error))?;
                seen::keep(tx, keyed, &bytes).await?;
                Ok(Done::Now(value))
            })
            .await;
        let undone = match outcome {
            Ok((Done::Now(value), positions)) => return Ok((value, positions)),
            Ok((Done::Before(bytes), _)) => {
                // It is kept, so it ran; an answer of an older version may be one that nobody can read now.
                let value = codec::decode(&bytes);
                return value
                    .map(|value| (value, Vec::new()))
                    .map_err(|error| CallError::unknown(CauseKind::Malformed, error.to_string()));
            }
            Err(TxFailed::MayHaveHappened(error)) => return Err(CallError::MayHaveRun(error.cause())),
            Err(TxFailed::Body(error)) => error,
            Err(TxFailed::DidNotHappen(error)) => CallError::NotRun(error.cause()),
        };
        // Everything was undone, the key too: the method may try once more.
        if let Some(keyed) = keyed {
            keyed.did_not_happen();
        }
        Err(undone)
    }

    /// Runs `body` in a transaction of `class`; what [`Store::transact`] and the consumer stand on.
    pub async fn run<T, E, F>(&self, class: Class, body: F) -> Result<(T, Vec<Position>), TxFailed<E>>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, E>,
    {
        if IN_TRANSACTION.get() {
            return Err(TxFailed::DidNotHappen(StoreError::new(
                StoreErrorKind::Nested,
                "a `transact` inside a `transact`: use the `tx` at hand, or `tx.nested`",
            )));
        }
        let session = self.backend.begin(class).await.map_err(TxFailed::DidNotHappen)?;
        let read = Read::new(session, self.backend.dialect(), self.backend.clock().now());
        let mut tx = Tx::new(read, Arc::clone(&self.topics));
        let outcome = self.guarded(body(&mut tx)).await;
        let failed = match outcome {
            Some(Ok(value)) => {
                let (session, drafts) = tx.into_parts();
                match drafts {
                    Ok(drafts) => {
                        let positions = session.commit(drafts).await?;
                        return Ok((value, positions));
                    }
                    Err(refused) => {
                        session.roll_back().await?;
                        return Err(TxFailed::DidNotHappen(refused));
                    }
                }
            }
            Some(Err(error)) => TxFailed::Body(error),
            None => TxFailed::DidNotHappen(waited()),
        };
        tx.into_parts().0.roll_back().await?;
        Err(failed)
    }

    /// Reads a snapshot: several queries see the same state.
    pub async fn read<T, E, F>(&self, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Read) -> Result<T, E>,
        E: From<StoreError>,
    {
        let session = self.backend.snapshot().await?;
        let mut read = Read::new(session, self.backend.dialect(), self.backend.clock().now());
        self.guarded(body(&mut read)).await.unwrap_or_else(|| Err(waited().into()))
    }

    /// Takes no more work, ends what is running, closes the database.
    pub async fn close(&self) {
        self.backend.close().await;
    }

    /// Polls a transaction's closure: once, where the database cannot let it wait; `None` when it waited there.
    async fn guarded<T>(&self, body: impl Future<Output = T>) -> Option<T> {
        let mut body = pin!(body);
        let suspends = self.backend.suspends();
        poll_fn(|task| {
            let _inside = Inside::enter();
            match body.as_mut().poll(task) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if suspends => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }
}

impl KeptAnswers for Store {
    fn kept<'a>(&'a self, keyed: &'a Keyed) -> BoxFuture<'a, Result<Option<Bytes>, CallError>> {
        Box::pin(async move {
            match self.read(async |read: &mut Read| seen::look(read, keyed).await).await? {
                None => Ok(None),
                Some(Claim::OtherArguments) => Err(key_reused(keyed)),
                Some(Claim::Kept(bytes)) => Ok(Some(bytes)),
                Some(Claim::New) => Ok(None),
            }
        })
    }
}

impl<E> From<CommitError> for TxFailed<E> {
    fn from(failed: CommitError) -> TxFailed<E> {
        match failed {
            CommitError::DidNotHappen(error) => TxFailed::DidNotHappen(error),
            CommitError::MayHaveHappened(error) => TxFailed::MayHaveHappened(error),
        }
    }
}

impl TxFailed<StoreError> {
    /// What went wrong, for who does not ask whether it may have happened: what it did may be done twice.
    pub fn into_error(self) -> StoreError {
        match self {
            TxFailed::Body(error) | TxFailed::DidNotHappen(error) | TxFailed::MayHaveHappened(error) => error,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("service", &self.service).finish_non_exhaustive()
    }
}

/// What a transaction answers.
enum Done<T> {
    /// What its closure brought.
    Now(T),
    /// What was kept under its key before.
    Before(Bytes),
}

/// Marks this thread as inside a transaction's closure, for one poll.
struct Inside(bool);

impl Inside {
    fn enter() -> Inside {
        Inside(IN_TRANSACTION.replace(true))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IN_TRANSACTION.set(self.0);
    }
}

fn waited() -> StoreError {
    StoreError::new(
        StoreErrorKind::Waited,
        "a transaction waited for something other than its database; make calls and do I/O before or after it",
    )
}

fn key_reused<R>(keyed: &Keyed) -> CallError<R> {
    CallError::not_run(
        CauseKind::KeyReused,
        format!("the idempotency key `{}` was used before with other arguments", keyed.key),
    )
}

fn malformed<R>(error: &codec::CodecError) -> CallError<R> {
    CallError::not_run(CauseKind::Malformed, error.to_string())
}
