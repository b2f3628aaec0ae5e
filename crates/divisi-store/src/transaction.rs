//! The unit in which state and events are saved.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{CallError, Event, Trace};

use crate::backend::{Dialect, Question, Session};
use crate::error::{StoreError, StoreErrorKind};
use crate::record::{Draft, Lane, Timestamp};
use crate::value::{FromRow, Row, ValueRef};

/// The largest payload of an event, in bytes. Bytes of that size stand beside, in an object store; the event says
/// that they are there.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Rows as of one instant. A [`Tx`] is one too, so that a query is written once for both.
pub struct Read {
    session: Box<dyn Session>,
    dialect: Dialect,
    now: Timestamp,
    /// The first statement that failed as a race with another transaction.
    race: Option<StoreError>,
}

/// An open transaction: rows changed and events emitted through it commit together or not at all.
///
/// It makes no calls and does no I/O of its own: on SQLite everything that waits is waited for, by everybody.
pub struct Tx {
    read: Read,
    emitted: Vec<Draft>,
    headers: Arc<str>,
    topics: Arc<[&'static str]>,
    refused: Option<StoreError>,
    has_sent: bool,
}

/// How many events had been emitted at some moment, and whether something was refused; see [`Tx::truncate`].
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    emitted: usize,
    refused: bool,
}

impl Read {
    /// A read on an open session. Made by back ends, for [`outbox::read_page`](crate::outbox::read_page).
    pub fn new(session: Box<dyn Session>, dialect: Dialect, now: Timestamp) -> Read {
        Read { session, dialect, now, race: None }
    }

    /// All rows of a query.
    pub async fn query<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[ValueRef<'_>],
    ) -> Result<Vec<T>, StoreError> {
        self.rows(sql, params).await?.into_iter().map(T::from_row).collect()
    }

    /// The first row of a query, if there is one.
    pub async fn query_opt<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[ValueRef<'_>],
    ) -> Result<Option<T>, StoreError> {
        self.rows(sql, params).await?.into_iter().next().map(T::from_row).transpose()
    }

    /// The first row of a query that always has one.
    pub async fn query_one<T: FromRow>(
        &mut self,
        sql: &str,
        params: &[ValueRef<'_>],
    ) -> Result<T, StoreError> {
        self.query_opt(sql, params).await?.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Type, format!("a row was expected, none was found: {sql}"))
        })
    }

    /// All rows of two queries of which none needs the other's answer; a server is asked both at once.
    pub(crate) async fn query_two<A: FromRow, B: FromRow>(
        &mut self,
        first: Question<'_>,
        second: Question<'_>,
    ) -> Result<(Vec<A>, Vec<B>), StoreError> {
        let answers = self.session.query_two(first, second).await;
        let (first, second) = self.noted(answers)?;
        let first: Result<Vec<A>, StoreError> = first.into_iter().map(A::from_row).collect();
        Ok((first?, second.into_iter().map(B::from_row).collect::<Result<_, _>>()?))
    }

    async fn rows(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<Vec<Row>, StoreError> {
        let rows = self.session.query(sql, params).await;
        self.noted(rows)
    }

    /// Remembers that a race was lost.
    fn noted<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &done
            && error.kind == StoreErrorKind::Conflict
        {
            self.race.get_or_insert_with(|| error.clone());
        }
        done
    }

    /// When the transaction began, by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether a call waits because of this transaction; see [`Session::is_awaited`].
    pub fn is_awaited(&self) -> bool {
        self.session.is_awaited()
    }

    /// The SQL that the database speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }
}

impl Tx {
    pub(crate) fn new(read: Read, topics: Arc<[&'static str]>) -> Tx {
        Tx { read, emitted: Vec::new(), headers: Arc::from("{}"), topics, refused: None, has_sent: false }
    }

    /// Runs a statement that changes rows; how many it changed.
    pub async fn execute(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<u64, StoreError> {
        let done = self.read.session.execute(sql, params).await;
        self.read.noted(done)
    }

    /// Runs a statement that changes rows, where nobody asks how many: a server is not waited for. It goes there together with the next
    /// statement that is waited for, or with COMMIT, and takes effect in its order, so a projection's batch of thirty rows makes one trip
    /// instead of thirty.
    ///
    /// The price: what the database says against it may show only later in the transaction, as the error of another statement or of the
    /// whole, which is undone. What the closure has to know at once, such as a name that is taken, is for [`Tx::execute`].
    ///
    /// # Errors
    ///
    /// What shows at once. Whoever goes on after it has a transaction that cannot be committed, unless it was in a part that is undone
    /// ([`Tx::nested`]).
    pub async fn send(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<(), StoreError> {
        self.has_sent = true;
        let sent = self.read.session.send(sql, params, false).await;
        self.doomed(sent)
    }

    /// Runs a statement that changes one row, which the transaction holds locked, as [`Tx::send`] does.
    pub(crate) async fn send_one(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<(), StoreError> {
        let sent = self.read.session.send(sql, params, true).await;
        self.doomed(sent)
    }

    /// Remembers that something which was sent failed. A server says so to everything that follows, a file would not.
    fn doomed(&mut self, sent: Result<(), StoreError>) -> Result<(), StoreError> {
        let sent = self.read.noted(sent);
        if let Err(error) = &sent {
            self.refused.get_or_insert_with(|| error.clone());
        }
        sent
    }

    /// Announces `event` when the transaction commits. It only goes into a buffer here; an event that is too large or
    /// of a topic that this service does not own fails the transaction at its end, in words.
    pub fn emit<E: Event>(&mut self, event: E) {
        if let Err(error) = self.push(&event) {
            self.refused.get_or_insert(error);
        }
    }

    /// Undoes what `body` did, rows and events, if it fails, or something that it has sent ([`Tx::send`]); keeps it otherwise.
    pub async fn nested<T, R, F>(&mut self, body: F) -> Result<T, CallError<R>>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, CallError<R>>,
    {
        let mark = self.mark();
        self.savepoint().await?;
        let mut outcome = body(self).await;
        if outcome.is_ok() {
            let ended = match self.refused.as_ref().filter(|refused| !mark.refused && !is_of_event(refused)) {
                // It has sent something that was wrong at once, and did not look.
                Some(refused) => Err(refused.clone()),
                // What it has sent shows here at the latest.
                None => self.end_savepoint(true).await,
            };
            match ended {
                Ok(()) => return outcome,
                Err(error) => outcome = Err(error.into()),
            }
        }
        self.truncate(mark);
        self.end_savepoint(false).await?;
        outcome
    }

    /// How many events have been emitted so far.
    pub fn mark(&self) -> Mark {
        Mark { emitted: self.emitted.len(), refused: self.refused.is_some() }
    }

    /// Forgets the events that were emitted since `mark`, and what was wrong with them or with what was sent; what was refused
    /// before still fails the transaction.
    pub fn truncate(&mut self, mark: Mark) {
        self.emitted.truncate(mark.emitted);
        if !mark.refused {
            self.refused = None;
        }
    }

    /// Opens a savepoint; the consumer puts each handler in one.
    pub async fn savepoint(&mut self) -> Result<(), StoreError> {
        let opened = self.read.session.savepoint().await;
        self.read.noted(opened)
    }

    /// Ends the innermost savepoint: keeps what was done since, or undoes it. Events are not its business.
    pub async fn end_savepoint(&mut self, keep: bool) -> Result<(), StoreError> {
        let ended = self.read.session.end_savepoint(keep).await;
        self.read.noted(ended)
    }

    /// Puts later events into the trace and names the event that they follow from.
    pub fn set_cause(&mut self, trace: Trace, cause: Option<&str>) {
        let trace = trace.to_string();
        self.headers = match cause {
            None => format!(r#"{{"traceparent":"{trace}"}}"#),
            Some(cause) => serde_json::json!({ "traceparent": trace, "divisicause": cause }).to_string(),
        }
        .into();
    }

    /// What was wrong with an emitted event, or with what was sent, if something was: the transaction must not commit.
    pub fn refused(&self) -> Option<&StoreError> {
        self.refused.as_ref()
    }

    /// Whether something was sent ([`Tx::send`]): what fails the transaction may be of that.
    pub fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// The first statement since [`Tx::forget_race`] that failed as a race with another transaction, if one did: what this one has seen may
    /// be old, and all of it is best begun again. The consumer does so with its handlers.
    pub fn lost_race(&self) -> Option<&StoreError> {
        self.read.race.as_ref()
    }

    /// From here on: who went on after a race knew what to do about it.
    pub fn forget_race(&mut self) {
        self.read.race = None;
    }

    pub(crate) fn into_parts(self) -> (Box<dyn Session>, Result<Vec<Draft>, StoreError>) {
        (self.read.session, self.refused.map_or(Ok(self.emitted), Err))
    }

    fn push<E: Event>(&mut self, event: &E) -> Result<(), StoreError> {
        let refuse = |message: String| Err(StoreError::new(StoreErrorKind::Event, message));
        if !self.topics.contains(&E::TOPIC) {
            return refuse(format!(
                "`{}` belongs to the topic `{}`, which this service does not own; say `.emits::<{}>()` where the service is described",
                E::NAME,
                E::TOPIC,
                E::NAME
            ));
        }
        let payload = match serde_json::to_vec(event) {
            Ok(payload) => payload,
            Err(error) => return refuse(format!("`{}` cannot be written as JSON: {error}", E::NAME)),
        };
        if payload.len() > PAYLOAD_BYTES_MAX {
            return refuse(format!(
                "`{}` has {} bytes, {PAYLOAD_BYTES_MAX} are the limit; put the bytes beside and the fact into the event",
                E::NAME,
                payload.len()
            ));
        }
        let key = event.key().into_owned();
        self.emitted.push(Draft {
            topic: E::TOPIC,
            lane: Lane(lane_of(&key, LANES)),
            kind: E::NAME,
            schema_v: E::VERSION,
            key,
            headers: Arc::clone(&self.headers),
            payload: payload.into(),
        });
        Ok(())
    }
}

impl Deref for Tx {
    type Target = Read;

    fn deref(&self) -> &Read {
        &self.read
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Read {
        &mut self.read
    }
}

/// Whether an event was refused, not a statement: that shows at the end of the transaction, and is of all of it.
fn is_of_event(refused: &StoreError) -> bool {
    refused.kind == StoreErrorKind::Event
}
