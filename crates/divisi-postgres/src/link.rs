//! One connection out of the pool: statements in, rows out, and how it goes back.
//!
//! Whatever way a transaction ends (an answer, an error, a panic, a future that is dropped at any point), the next one
//! that gets the connection finds it outside a transaction, or does not get it.

use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use deadpool_postgres::{Client, Object};
use divisi_store::backend::{Question, TwoAnswers};
use divisi_store::{Row, StoreError, StoreErrorKind, ValueRef};
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

use crate::error::{is_lost, is_stale_plan, store_error};
use crate::later::{self, Later, Trouble};
use crate::options::Options;
use crate::scan;
use crate::trip::{Sent, Silent};
use crate::value::{bind, borrowed, read};

/// How many prepared statements a connection keeps; when there are more it begins anew.
const STATEMENTS_KEPT: usize = 256;

/// A connection with a transaction on it.
pub(crate) struct Link {
    /// None once it has been given back.
    client: Option<Client>,
    state: State,
    /// What goes with the next statement that is waited for.
    later: Later,
    /// How long an answer may take: the server's own limit, and then as long as a silent peer is borne.
    patience: Duration,
    /// The server refused BEGIN, and did the statement behind it all the same, outside of any transaction.
    outside: Option<StoreError>,
    permits: Option<Permits>,
}

/// What the connection counts against: all of the store's, and whose it is.
pub(crate) struct Permits {
    pub(crate) _connection: OwnedSemaphorePermit,
    pub(crate) _of: Of,
}

impl Permits {
    /// Of the framework, for itself.
    pub(crate) fn of_nobody(connection: OwnedSemaphorePermit) -> Permits {
        Permits { _connection: connection, _of: Of::Nobody }
    }
}

/// Whose a connection is.
pub(crate) enum Of {
    /// A consumer's: one of their share.
    Consumers(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit),
    /// A call's: how many have it is counted.
    Calls(#[expect(dead_code, reason = "held until it is dropped")] Arc<()>),
    /// A reader's, or the framework's own.
    Nobody,
}

/// What the server knows of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// BEGIN goes with the first statement.
    Fresh(&'static str),
    /// It is open, and every answer has been read.
    Open,
    /// Something was sent whose answer has not been read.
    InFlight,
    /// There is none.
    Ended,
    /// The connection is gone.
    Lost,
    /// It is in a state that nobody knows, or the server is silent.
    Broken,
}

/// How a commit ended, as the two answers of the server say.
pub(crate) enum Ending<T> {
    /// All of it is there.
    Committed(T),
    /// None of it is.
    Undone(StoreError),
    /// Nobody knows.
    Unknown(StoreError),
}

impl Link {
    /// A transaction on `client` that `begin` opens together with its first statement, without a trip of its own.
    ///
    /// Whether the server still has the connection shows only then; see [`Link::was_stale`].
    pub(crate) fn fresh(client: Client, permits: Permits, begin: &'static str, options: &Options) -> Link {
        let mut link = Link::bare(client, begin, options);
        link.permits = Some(permits);
        link
    }

    fn bare(client: Client, begin: &'static str, options: &Options) -> Link {
        let patience = options.statement_timeout.saturating_add(options.silence_timeout);
        let state = State::Fresh(begin);
        Link { client: Some(client), state, later: Later::default(), patience, outside: None, permits: None }
    }

    /// Begins a transaction on `client`, on a connection that the server has for certain. Without one, the permits come
    /// back with the error.
    pub(crate) async fn begin(
        client: Client,
        permits: Permits,
        begin: &'static str,
        options: &Options,
    ) -> Result<Link, (StoreError, Permits)> {
        let mut link = Link::bare(client, begin, options);
        let patience = link.patience;
        // Nothing holds BEGIN up but a server that is silent.
        link.patience = options.silence_timeout;
        match link.open().await {
            Ok(()) => {
                (link.patience, link.permits) = (patience, Some(permits));
                Ok(link)
            }
            Err(error) => Err((error, permits)),
        }
    }

    /// Whether nothing has been sent.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.state, State::Fresh(_))
    }

    /// The permits of a link whose connection was lost with its very first statement, since the server had closed it
    /// long ago: nothing was done, and another connection may serve. A server that is silent is so on every connection.
    pub(crate) fn was_stale(&mut self) -> Option<Permits> {
        if self.state == State::Lost { self.permits.take() } else { None }
    }

    /// Opens the transaction now.
    async fn open(&mut self) -> Result<(), StoreError> {
        self.run(async |_: &Client| Ok(())).await
    }

    /// Whether the connection is of no more use.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.state, State::Lost | State::Broken)
    }

    /// Why a statement of the transaction may have been done outside of it, if one may.
    pub(crate) fn outside(&self) -> Option<&StoreError> {
        self.outside.as_ref()
    }

    /// Runs a service's statement; how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<u64, StoreError> {
        scan::is_allowed(sql)?;
        let statement = self.prepare(sql).await?;
        let bound = bind(&statement, params)?;
        let bound = borrowed(&bound);
        self.run(async |client: &Client| client.execute(&statement, &bound).await).await
    }

    /// Leaves a service's statement to the next one that is waited for. It changes rows and nothing else: what comes next is prepared before
    /// this one is sent. With `one_row` it must change one, no more and no less.
    pub(crate) async fn send(
        &mut self,
        sql: &str,
        params: &[ValueRef<'_>],
        one_row: bool,
        beside_calls: bool,
    ) -> Result<(), StoreError> {
        // Its count comes behind COMMIT, so the server itself has to look at it.
        let counted = one_row.then(|| later::counted(sql));
        let statement = self.prepare_here(counted.as_deref().unwrap_or(sql)).await?;
        self.later.push(sql, statement, params, one_row)?;
        if self.later.is_due(beside_calls) { self.deliver().await } else { Ok(()) }
    }

    /// Sends what waits to be sent, and waits for it.
    async fn deliver(&mut self) -> Result<(), StoreError> {
        self.run(async |_: &Client| Ok(())).await
    }

    /// Forgets what waits to be sent, since it would be undone.
    pub(crate) fn forget_later(&mut self) {
        self.later = Later::default();
    }

    /// Runs a service's query; its rows.
    pub(crate) async fn query(&mut self, sql: &str, params: &[ValueRef<'_>]) -> Result<Vec<Row>, StoreError> {
        scan::is_allowed(sql)?;
        let statement = self.prepare(sql).await?;
        let bound = bind(&statement, params)?;
        let bound = borrowed(&bound);
        let rows = self.run(async |client: &Client| client.query(&statement, &bound).await).await?;
        read(&rows)
    }

    /// Runs two queries, sent together; the rows of both.
    pub(crate) async fn query_two(
        &mut self,
        first: Question<'_>,
        second: Question<'_>,
    ) -> Result<TwoAnswers, StoreError> {
        let (one, other) = (self.prepare(first.0).await?, self.prepare(second.0).await?);
        let (of_one, of_other) = (bind(&one, first.1)?, bind(&other, second.1)?);
        let (of_one, of_other) = (borrowed(&of_one), borrowed(&of_other));
        let (first, second) = self
            .run(async |client: &Client| {
                // Both answers are read, whatever the first one says: nothing may be left on the way.
                let both = tokio::join!(
                    biased;
                    client.query(&one, &of_one),
                    client.query(&other, &of_other),
                );
                Ok((both.0?, both.1?))
            })
            .await?;
        Ok((read(&first)?, read(&second)?))
    }

    /// Runs a statement of the framework's own.
    pub(crate) async fn ours(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let statement = self.prepare(sql).await?;
        self.run(async |client: &Client| client.query(&statement, params).await).await
    }

    /// Runs statements of the framework, or of a migration, without parameters.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.run(async |client: &Client| client.batch_execute(sql).await).await
    }

    /// Prepares a statement, or finds it prepared. Before BEGIN it is prepared outside the transaction; one that cannot be
    /// is prepared within it, where its failure counts.
    pub(crate) async fn prepare(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let State::Fresh(begin) = self.state {
            self.state = State::Open;
            let prepared = self.prepare_here(sql).await;
            if self.state != State::Open {
                return prepared;
            }
            self.state = State::Fresh(begin);
            if prepared.is_ok() {
                return prepared;
            }
            self.open().await?;
        }
        self.prepare_here(sql).await
    }

    /// Prepares a statement in the transaction, which is open then.
    pub(crate) async fn opened(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if self.is_fresh() {
            self.open().await?;
        }
        self.prepare_here(sql).await
    }

    async fn prepare_here(&mut self, sql: &str) -> Result<Statement, StoreError> {
        let client = match self.client.as_ref() {
            Some(client) if self.state == State::Open => client,
            _ => return Err(ended()),
        };
        if client.statement_cache.size() >= STATEMENTS_KEPT {
            client.statement_cache.clear();
        }
        // One that is prepared already is there at once, and makes no trip.
        self.state = State::InFlight;
        let prepared = Sent::now(client.prepare_cached(sql)).await.within(self.patience).await;
        self.settle(prepared.map(|prepared| prepared.map_err(Trouble::Statement)))
    }

    /// Sends something, behind what waits to be sent, and waits for the answer.
    pub(crate) async fn run<T>(
        &mut self,
        body: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let begin = match self.state {
            State::Fresh(begin) => Some(begin),
            State::Open => None,
            State::InFlight | State::Ended | State::Lost | State::Broken => return Err(ended()),
        };
        let Some(client) = self.client.as_ref() else { return Err(ended()) };
        self.state = State::InFlight;
        let (later, patience) = (mem::take(&mut self.later), self.patience);
        let trip = async {
            let begun = match begin {
                Some(begin) => Some(Sent::now(client.batch_execute(begin)).await),
                None => None,
            };
            let sent = later.send(client).await;
            let done = Sent::now(body(client)).await;
            let asks = done.is_asked();
            let begun = match begun {
                Some(begun) => begun.within(patience).await?,
                None => Ok(()),
            };
            let sent = later::answers(sent, patience).await?;
            let done = done.within(patience).await?.map_err(Trouble::Statement);
            Ok(match begun {
                Ok(()) => later::behind(sent, done),
                Err(error) => {
                    let ran = asks && !done.as_ref().is_err_and(Trouble::is_said);
                    Err(Trouble::Begin { error, ran })
                }
            })
        };
        let done = trip.await;
        self.settle(done)
    }

    /// What an answer says of the transaction.
    fn settle<T>(&mut self, done: Result<Result<T, Trouble<'_>>, Silent>) -> Result<T, StoreError> {
        let Ok(done) = done else {
            self.state = State::Broken;
            return Err(self.was_silent());
        };
        let Some(client) = self.client.as_ref() else { return Err(ended()) };
        let error = done.as_ref().err().map(Trouble::error);
        if error.is_some_and(is_stale_plan) {
            client.statement_cache.clear();
        }
        let lost = error.is_some_and(is_lost) || client.is_closed();
        let mut outside = false;
        self.state = match &done {
            _ if lost => State::Lost,
            Err(Trouble::Begin { ran: true, .. }) => {
                outside = true;
                State::Broken
            }
            Err(Trouble::Begin { ran: false, .. }) => State::Ended,
            _ => State::Open,
        };
        done.map_err(|trouble| {
            let error = StoreError::from(trouble);
            self.outside = outside.then(|| error.clone());
            error
        })
    }

    fn was_silent(&self) -> StoreError {
        let message = format!("the database has not answered for {:?}", self.patience);
        StoreError::new(StoreErrorKind::Busy, message)
    }

    /// Ends the transaction well: `last`, and COMMIT right behind it without waiting for its answer, so that what it
    /// locks is held for as short as may be; before both, what waits to be sent.
    ///
    /// COMMIT follows only what was really sent, and the server commits nothing behind a statement that failed.
    pub(crate) async fn commit<T>(
        &mut self,
        last: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Ending<T> {
        let Some(client) = self.client.as_ref().filter(|_| self.state == State::Open) else {
            return Ending::Undone(ended());
        };
        if client.is_closed() {
            // Before COMMIT was sent: the server has undone it.
            self.state = State::Lost;
            let message = "the connection to the database was lost before COMMIT";
            return Ending::Undone(StoreError::new(StoreErrorKind::Busy, message));
        }
        self.state = State::InFlight;
        let later = mem::take(&mut self.later);
        let sent = later.send(client).await;
        let last = Sent::now(last(client)).await;
        // COMMIT follows only what was really sent.
        let is_sent = sent.iter().all(|(_, sent)| sent.is_sent()) && last.is_sent();
        // In a transaction that failed, COMMIT alone would roll back and call it a success; what stands before it fails
        // there. It also takes the limit off a COMMIT that waits for a standby: cut short, it would be acknowledged
        // without it.
        let commit = match is_sent {
            true => Some(Sent::now(client.batch_execute("SET LOCAL statement_timeout TO 0; COMMIT")).await),
            false => None,
        };
        let answers = async {
            let sent = later::answers(sent, self.patience).await?;
            let last = last.within(self.patience).await?.map_err(Trouble::Statement);
            let commit = match commit {
                Some(commit) => Some(commit.answer().await),
                None => None,
            };
            Ok((sent.and(last), commit))
        };
        let (done, commit) = match answers.await {
            Ok(answers) => answers,
            Err(Silent) => {
                self.state = State::Broken;
                let silent = self.was_silent();
                return if is_sent { Ending::Unknown(silent) } else { Ending::Undone(silent) };
            }
        };
        let errors =
            [done.as_ref().err().map(Trouble::error), commit.as_ref().and_then(|done| done.as_ref().err())];
        if errors.into_iter().flatten().any(is_stale_plan) {
            client.statement_cache.clear();
        }
        match (done, commit) {
            (Ok(value), Some(Ok(()))) => {
                self.state = State::Ended;
                Ending::Committed(value)
            }
            (Ok(_), None) => Ending::Undone(ended()),
            (Err(trouble), None) => {
                self.state = if trouble.is_lost() { State::Lost } else { State::Open };
                Ending::Undone(trouble.into())
            }
            // The server said that a statement before COMMIT failed, and ended the session with it, or was lost behind it: it commits
            // nothing behind a failure.
            (Err(trouble), Some(Err(error)))
                if trouble.is_fatal() || (trouble.is_said() && is_lost(&error)) =>
            {
                self.state = State::Lost;
                Ending::Undone(trouble.into())
            }
            (_, Some(Err(error))) if is_lost(&error) => {
                self.state = State::Lost;
                Ending::Unknown(store_error(error))
            }
            // The server undoes all of it when a statement fails, or COMMIT itself does.
            (Err(trouble), Some(Err(_))) => {
                self.state = State::Open;
                Ending::Undone(trouble.into())
            }
            (Ok(_), Some(Err(error))) => {
                self.state = State::Open;
                Ending::Undone(store_error(error))
            }
            // A server that commits behind a failure is not one that can be reasoned about.
            (Err(trouble), Some(Ok(()))) => {
                self.state = State::Broken;
                Ending::Unknown(trouble.into())
            }
        }
    }

    /// Undoes everything. A connection that cannot do it is thrown away, which does it too.
    pub(crate) async fn roll_back(&mut self) {
        match self.state {
            State::Fresh(_) => self.state = State::Ended,
            State::Open => {
                self.forget_later();
                let undone = self.batch("ROLLBACK").await;
                self.state = if undone.is_ok() { State::Ended } else { State::Broken };
            }
            State::InFlight | State::Ended | State::Lost | State::Broken => {}
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        match self.state {
            State::Fresh(_) | State::Ended => drop(client),
            State::Open => {
                // The first poll sends it, and the driver reads its answer before any other: whoever gets the
                // connection next comes behind it.
                let sent = {
                    let rollback = pin!(client.batch_execute("ROLLBACK"));
                    rollback.poll(&mut Context::from_waker(Waker::noop()))
                };
                match sent {
                    Poll::Ready(Err(_)) => drop(Object::take(client)),
                    Poll::Ready(Ok(())) | Poll::Pending => drop(client),
                }
            }
            // What runs there would go on for the next one. The server sees that the connection is closed and stops.
            State::InFlight | State::Lost | State::Broken => drop(Object::take(client)),
        }
    }
}

fn ended() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the transaction has ended")
}
