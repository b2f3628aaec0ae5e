//! A service's transaction, and a snapshot: both a connection with something open on it.

use std::sync::Arc;

use deadpool_postgres::Client;
use divisi_store::backend::{CommitError, Question, TwoAnswers, one_row};
use divisi_store::{
    BoxFuture, Draft, Position, Record, Row, Session, StoreError, StoreErrorKind, Value, ValueRef, failpoint,
};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use crate::core::Core;
use crate::epochs::{BEGIN, Reason};
use crate::error::{OTHER_LIFE, code};
use crate::link::{Ending, Link, bind};
use crate::outbox::{self, Columns, Numbers};
use crate::value::Bound;

/// Begins a snapshot.
pub(crate) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// An open transaction, or a snapshot.
pub(crate) struct Transaction {
    link: Link,
    core: Arc<Core>,
    writes: bool,
    /// What goes with COMMIT.
    last: Option<Last>,
}

/// A statement that changes one row, and goes with COMMIT.
struct Last {
    sql: &'static str,
    params: Vec<Value>,
}

impl Transaction {
    pub(crate) fn new(link: Link, core: Arc<Core>) -> Transaction {
        Transaction { link, core, writes: true, last: None }
    }

    pub(crate) fn snapshot(link: Link, core: Arc<Core>) -> Transaction {
        Transaction { link, core, writes: false, last: None }
    }

    /// Whether the first statement is to be sent once more, on another connection: the server had closed the one that it
    /// went to, before anything was done there. `fresh`: nothing was sent before it.
    async fn goes_again(&mut self, fresh: bool) -> Result<bool, StoreError> {
        let Some(permits) = fresh.then(|| self.link.was_stale()).flatten() else { return Ok(false) };
        self.core.forget();
        let begin = if self.writes { BEGIN } else { SNAPSHOT };
        self.link = self.core.begin_on(permits, begin).await?;
        Ok(true)
    }

    async fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        let fresh = self.link.is_fresh();
        let mut done = self.link.batch(sql).await;
        if done.is_err() && self.goes_again(fresh).await? {
            done = self.link.batch(sql).await;
        }
        self.after(done)
    }

    /// The statement that appends, in a transaction that is open. It is opened by itself if nothing came before: what is
    /// sent together with COMMIT is not known to be undone when the connection turns out to be a closed one.
    async fn opened(&mut self, append: &str) -> Result<Statement, StoreError> {
        let fresh = self.link.is_fresh();
        let mut done = self.link.opened(append).await;
        if done.is_err() && self.goes_again(fresh).await? {
            done = self.link.opened(append).await;
        }
        self.after(done)
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

    async fn append_and_commit(&mut self, drafts: Vec<Draft>) -> Result<Vec<Arc<Record>>, CommitError> {
        if !self.writes {
            let error = StoreError::new(StoreErrorKind::Statement, "a snapshot cannot be committed");
            return Err(CommitError::DidNotHappen(error));
        }
        if failpoint::hit("commit.before") {
            let error = StoreError::new(StoreErrorKind::Other, "failpoint commit.before");
            return Err(CommitError::DidNotHappen(error));
        }
        let last = match self.last.take() {
            Some(last) => Some((self.opened(last.sql).await.map_err(CommitError::DidNotHappen)?, last)),
            None => None,
        };
        let last = match &last {
            Some((statement, last)) => {
                Some((statement, last.bound(statement).map_err(CommitError::DidNotHappen)?))
            }
            None => None,
        };
        if drafts.is_empty() && last.is_none() && self.link.is_fresh() {
            // It did nothing and saw nothing.
            return Ok(Vec::new());
        }
        let columns = Columns::new(&drafts, &self.core.ends).map_err(CommitError::DidNotHappen)?;
        let append = match columns.statement() {
            Some(append) => Some(self.opened(append).await.map_err(CommitError::DidNotHappen)?),
            None => None,
        };
        let numbers = self
            .link
            .commit(async |client: &Client| {
                // In this order, and both are sent when they are polled first.
                let (changed, numbers) = tokio::join!(
                    biased;
                    async {
                        let Some((statement, params)) = &last else { return Ok(1) };
                        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
                        client.execute(*statement, &params).await
                    },
                    async {
                        let Some(append) = &append else { return Ok(Numbers::none()) };
                        columns.append(client, append).await
                    },
                );
                Ok((changed?, numbers?))
            })
            .await;
        let numbers = match numbers {
            Ending::Committed((changed, numbers)) => {
                one_row(changed).map_err(CommitError::MayHaveHappened)?;
                numbers
            }
            Ending::Undone(error) => return Err(CommitError::DidNotHappen(error)),
            Ending::Unknown(error) => return Err(CommitError::MayHaveHappened(error)),
        };
        if failpoint::hit("commit.after") {
            let error = StoreError::new(StoreErrorKind::Other, "failpoint commit.after");
            return Err(CommitError::MayHaveHappened(error));
        }
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
        Box::pin(async move {
            let fresh = self.link.is_fresh();
            let mut done = self.link.execute(sql, params).await;
            if done.is_err() && self.goes_again(fresh).await? {
                done = self.link.execute(sql, params).await;
            }
            self.after(done)
        })
    }

    fn query<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            let fresh = self.link.is_fresh();
            let mut done = self.link.query(sql, params).await;
            if done.is_err() && self.goes_again(fresh).await? {
                done = self.link.query(sql, params).await;
            }
            self.after(done)
        })
    }

    fn query_two<'a>(
        &'a mut self,
        first: Question<'a>,
        second: Question<'a>,
    ) -> BoxFuture<'a, Result<TwoAnswers, StoreError>> {
        Box::pin(async move {
            let fresh = self.link.is_fresh();
            let mut done = self.link.query_two(first, second).await;
            if done.is_err() && self.goes_again(fresh).await? {
                done = self.link.query_two(first, second).await;
            }
            self.after(done)
        })
    }

    fn execute_last<'a>(
        &'a mut self,
        sql: &'static str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let next = Last { sql, params: params.iter().map(ValueRef::owned).collect() };
            // One goes with COMMIT: the one before goes now.
            match self.last.replace(next) {
                Some(Last { sql, params }) => {
                    let params: Vec<ValueRef<'_>> = params.iter().map(Value::borrowed).collect();
                    one_row(self.execute(sql, &params).await?)
                }
                None => Ok(()),
            }
        })
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

    fn roll_back(mut self: Box<Self>) -> BoxFuture<'static, Result<(), StoreError>> {
        Box::pin(async move {
            // A connection that is lost has rolled back as well. What was seen was committed, hence durable.
            self.link.roll_back().await;
            Ok(())
        })
    }
}

impl Last {
    fn bound(&self, statement: &Statement) -> Result<Vec<Bound<'_>>, StoreError> {
        bind(statement, &self.params.iter().map(Value::borrowed).collect::<Vec<_>>())
    }
}
