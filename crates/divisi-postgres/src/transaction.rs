//! A service's transaction, and a snapshot: both a connection with something open on it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use deadpool_postgres::Client;
use divisi_store::backend::{CommitError, Question, TwoAnswers, rows_of_sent};
use divisi_store::{
    BoxFuture, Draft, Isolation, Position, Record, Row, Session, StoreError, StoreErrorKind, ValueRef,
    failpoint,
};
use tokio_postgres::{Error, Statement};

use crate::core::Core;
use crate::epochs::{BEGIN, Reason};
use crate::error::{OTHER_LIFE, code};
use crate::link::{Ending, Link};
use crate::outbox::{self, Columns, Numbers};
use crate::scan;

/// Begins a snapshot.
pub(crate) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Begins a transaction that may write.
pub(crate) fn begin(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => BEGIN,
        Isolation::RepeatableRead => "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE",
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE",
    }
}

/// Sends something, and once more on another connection if it was the first of its transaction and the server had closed the
/// connection before. A closure would do, could one that borrows its transaction be `Send`.
macro_rules! first_or_again {
    ($transaction:ident, $sent:expr) => {{
        let fresh = $transaction.link.is_fresh();
        let mut done = $sent;
        if done.is_err() && $transaction.goes_again(fresh).await? {
            done = $sent;
        }
        $transaction.after(done)
    }};
}

/// An open transaction, or a snapshot.
pub(crate) struct Transaction {
    link: Link,
    core: Arc<Core>,
    writes: bool,
    /// What it began with.
    begin: &'static str,
    /// Whether its events get their numbers behind COMMIT.
    stages: bool,
}

/// What goes to the server together with COMMIT, prepared.
struct End<'a> {
    append: Option<(Statement, Columns<'a>)>,
    /// Whether events are put down without numbers.
    staged: bool,
}

impl Transaction {
    /// One that `link` opens with the BEGIN of `isolation`.
    pub(crate) fn new(link: Link, core: Arc<Core>, isolation: Isolation) -> Transaction {
        let (begin, stages) = (begin(isolation), isolation.is_strict());
        Transaction { link, core, writes: true, begin, stages }
    }

    pub(crate) fn snapshot(link: Link, core: Arc<Core>) -> Transaction {
        Transaction { link, core, writes: false, begin: SNAPSHOT, stages: false }
    }

    /// Whether the first statement is to be sent once more, on another connection: the server had closed the one that it
    /// went to, before anything was done there. `fresh`: nothing was sent before it.
    async fn goes_again(&mut self, fresh: bool) -> Result<bool, StoreError> {
        let Some(permits) = fresh.then(|| self.link.was_stale()).flatten() else { return Ok(false) };
        self.core.forget();
        self.link = self.core.begin_on(permits, self.begin).await?;
        Ok(true)
    }

    async fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        first_or_again!(self, self.link.batch(sql).await)
    }

    /// A statement that goes with COMMIT, in a transaction that is open. It is opened by itself if nothing came before: what is
    /// sent together with COMMIT is not known to be undone when the connection turns out to be a closed one.
    async fn opened(&mut self, sql: &str) -> Result<Statement, StoreError> {
        first_or_again!(self, self.link.opened(sql).await)
    }

    fn after<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if self.link.is_broken() {
            // The server may have become another one, with another past.
            self.core.forget();
        }
        done
    }

    async fn end(mut self, drafts: Vec<Draft>) -> Result<Vec<Position>, CommitError> {
        let ended = self.append_and_commit(drafts).await;
        match ended {
            Ok(records) => Ok(records.iter().map(|record| record.position()).collect()),
            Err(CommitError::MayHaveHappened(error)) => {
                self.core.forget();
                Err(CommitError::MayHaveHappened(error))
            }
            Err(CommitError::DidNotHappen(error)) => {
                if self.link.is_broken() {
                    self.core.forget();
                }
                self.link.roll_back().await;
                let other_life = code(&error) == Some(OTHER_LIFE);
                let Transaction { link, core, .. } = self;
                // Its connection is given back first: the epoch needs one.
                drop(link);
                if other_life && let Err(error) = core.begin_epoch(Reason::OtherLife).await {
                    tracing::warn!(error = %error, service.name = %core.source, "an epoch must begin and could not; the next transaction tries again");
                }
                Err(CommitError::DidNotHappen(error))
            }
        }
    }

    async fn prepare_end<'a>(&mut self, drafts: &'a [Draft]) -> Result<End<'a>, StoreError> {
        let columns = Columns::new(drafts, &self.core.ends)?;
        let staged = self.stages;
        let statement = if staged { columns.stage_statement() } else { columns.statement() };
        let append = match statement {
            Some(append) => Some((self.opened(append).await?, columns)),
            None => None,
        };
        Ok(End { append, staged })
    }

    async fn append_and_commit(&mut self, drafts: Vec<Draft>) -> Result<Vec<Arc<Record>>, CommitError> {
        if !self.writes {
            let error = StoreError::new(StoreErrorKind::Statement, "a snapshot cannot be committed");
            return Err(CommitError::DidNotHappen(error));
        }
        if let Some(error) = self.link.outside() {
            return Err(CommitError::MayHaveHappened(error.clone()));
        }
        if failpoint::hit("commit.before") {
            let error = StoreError::new(StoreErrorKind::Other, "failpoint commit.before");
            return Err(CommitError::DidNotHappen(error));
        }
        if drafts.is_empty() && self.link.is_fresh() {
            // It did nothing and saw nothing.
            return Ok(Vec::new());
        }
        let end = self.prepare_end(&drafts).await.map_err(CommitError::DidNotHappen)?;
        let numbers = self.link.commit(async |client: &Client| end.send(client).await).await;
        let numbers = match numbers {
            Ending::Committed(numbers) => {
                self.core.n_committed.fetch_add(1, Ordering::Relaxed);
                numbers
            }
            Ending::Undone(error) => return Err(CommitError::DidNotHappen(error)),
            Ending::Unknown(error) => return Err(CommitError::MayHaveHappened(error)),
        };
        if failpoint::hit("commit.after") {
            let error = StoreError::new(StoreErrorKind::Other, "failpoint commit.after");
            return Err(CommitError::MayHaveHappened(error));
        }
        if end.staged && end.append.is_some() {
            self.core.staged.notify_one();
        }
        drop(end);
        let records = outbox::records(&self.core.source, drafts, &numbers);
        self.core.committed(&records);
        Ok(records)
    }
}

impl Session for Transaction {
    fn execute<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move { first_or_again!(self, self.link.execute(sql, params).await) })
    }

    fn query<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move { first_or_again!(self, self.link.query(sql, params).await) })
    }

    fn query_two<'a>(
        &'a mut self,
        first: Question<'a>,
        second: Question<'a>,
    ) -> BoxFuture<'a, Result<TwoAnswers, StoreError>> {
        Box::pin(async move { first_or_again!(self, self.link.query_two(first, second).await) })
    }

    /// The first statement of a transaction is waited for: it shows whether the server still has the connection, and goes once more on another
    /// one if it has not. So is what does more than change rows: what comes next is prepared before this one is sent.
    fn send<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
        one_row: bool,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.link.is_fresh() || !scan::is_of_rows(sql) {
                let n_rows = self.execute(sql, params).await?;
                return rows_of_sent(n_rows, one_row);
            }
            scan::is_allowed(sql)?;
            let sent = self.link.send(sql, params, one_row, self.core.serves_calls()).await;
            self.after(sent)
        })
    }

    fn is_awaited(&self) -> bool {
        self.core.serves_calls()
    }

    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.batch("SAVEPOINT divisi_nested"))
    }

    fn end_savepoint(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let sql = if keep {
                "RELEASE SAVEPOINT divisi_nested"
            } else {
                "ROLLBACK TO SAVEPOINT divisi_nested; RELEASE SAVEPOINT divisi_nested"
            };
            if !keep {
                // They are of the part that is undone: whatever was sent before it went with its savepoint.
                self.link.forget_later();
            }
            self.batch(sql).await
        })
    }

    /// It goes on to its end in a task of its own: a caller that goes away changes nothing, and what is committed is told
    /// to the listener. The store, when it closes, waits for the connection and so for the task.
    fn commit(self: Box<Self>, drafts: Vec<Draft>) -> BoxFuture<'static, Result<Vec<Position>, CommitError>> {
        Box::pin(async move {
            match tokio::spawn(self.end(drafts)).await {
                Ok(ended) => ended,
                Err(error) => Err(CommitError::MayHaveHappened(
                    StoreError::new(StoreErrorKind::Other, "the end of a transaction was interrupted")
                        .with_source(error),
                )),
            }
        })
    }

    fn roll_back(mut self: Box<Self>) -> BoxFuture<'static, Result<(), CommitError>> {
        Box::pin(async move {
            if let Some(error) = self.link.outside() {
                return Err(CommitError::MayHaveHappened(error.clone()));
            }
            // A connection that is lost has rolled back as well. What was seen was committed, hence durable.
            self.link.roll_back().await;
            Ok(())
        })
    }
}

impl End<'_> {
    /// Appends the events; what cannot be sent is an error at once, before COMMIT goes. Their numbers.
    async fn send(&self, client: &Client) -> Result<Numbers, Error> {
        let Some((statement, columns)) = &self.append else { return Ok(Numbers::none()) };
        if self.staged {
            columns.stage(client, statement).await
        } else {
            columns.append(client, statement).await
        }
    }
}
