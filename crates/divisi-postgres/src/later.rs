//! Statements that nobody waits for: they go to the server with the next one that is waited for, or with COMMIT.
//!
//! A trip to the server and back takes as long as several statements of a projection do; so many of them share one.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use deadpool_postgres::Client;
use divisi_store::backend::not_one_row;
use divisi_store::{StoreError, StoreErrorKind, ValueRef};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, Statement};

use crate::error::{UNFIT, is_fatal, is_lost, store_error};
use crate::trip::{Sent, Silent};
use crate::value::bind;

/// How many wait at the most: a consumer's batch exceeds its span by what so many take.
const STATEMENTS_MAX: usize = 32;
/// The same while calls have connections, which may wait for a row that these change.
const STATEMENTS_MAX_BESIDE_CALLS: usize = 8;
/// How many bytes of parameters do.
const BYTES_MAX: usize = 64 * 1024;
/// Characters of a statement that a log gets.
const SQL_CHARS_MAX: usize = 200;

/// Those of one transaction that were not sent yet, in their order.
#[derive(Default)]
pub(crate) struct Later {
    statements: Vec<Waiting>,
    n_bytes: usize,
}

/// One of them.
pub(crate) struct Waiting {
    sql: Box<str>,
    statement: Statement,
    params: Params,
    /// Whether it must change one row, no more and no less.
    one_row: bool,
}

/// What went wrong on a trip.
pub(crate) enum Trouble<'a> {
    /// BEGIN failed, so what stands behind it was sent outside of any transaction, and `ran` there, or may have.
    Begin { error: Error, ran: bool },
    /// The statement that was waited for failed.
    Statement(Error),
    /// One that was not did.
    Earlier(Error, &'a Waiting),
}

/// What a log says of it; no caller sees it.
#[derive(Debug, thiserror::Error)]
#[error("{sql}")]
pub(crate) struct OfEarlier {
    sql: String,
    /// What the driver said.
    #[source]
    pub(crate) source: Arc<dyn std::error::Error + Send + Sync>,
}

/// Parameters as they go to the server: one that does not fit is an error when it is given, not when it is sent.
#[derive(Default)]
struct Params {
    bytes: BytesMut,
    /// Where each is; null is nowhere.
    places: Vec<Option<Range<usize>>>,
}

/// One parameter.
#[derive(Debug)]
struct Param<'a>(Option<&'a [u8]>);

impl Later {
    /// Puts one behind the others.
    pub(crate) fn push(
        &mut self,
        sql: &str,
        statement: Statement,
        params: &[ValueRef<'_>],
        one_row: bool,
    ) -> Result<(), StoreError> {
        let params = Params::of(&statement, params)?;
        self.n_bytes += params.bytes.len();
        self.statements.push(Waiting { sql: sql.into(), statement, params, one_row });
        Ok(())
    }

    /// Whether no more of them should wait.
    pub(crate) fn is_due(&self, beside_calls: bool) -> bool {
        let most = if beside_calls { STATEMENTS_MAX_BESIDE_CALLS } else { STATEMENTS_MAX };
        self.statements.len() >= most || self.n_bytes >= BYTES_MAX
    }

    /// Sends them all, and waits for none.
    pub(crate) async fn send(
        &self,
        client: &Client,
    ) -> Vec<(&Waiting, Sent<impl Future<Output = Result<u64, Error>> + Send>)> {
        let mut sent = Vec::with_capacity(self.statements.len());
        for waiting in &self.statements {
            let answer = client.execute_raw(&waiting.statement, waiting.params.iter());
            sent.push((waiting, Sent::now(answer).await));
        }
        sent
    }
}

/// Reads the answers of them all; the first trouble, if there was any.
pub(crate) async fn answers<'a, F>(
    sent: Vec<(&'a Waiting, Sent<F>)>,
    patience: Duration,
) -> Result<Result<(), Trouble<'a>>, Silent>
where
    F: Future<Output = Result<u64, Error>>,
{
    let mut first = Ok(());
    for (waiting, sent) in sent {
        let done = match sent.within(patience).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(Trouble::Earlier(error, waiting)),
        };
        // What the server has said against one counts, whatever became of the connection behind it: whoever waits for the last answer
        // hears of that.
        first = first.and(done);
    }
    Ok(first)
}

/// `sql`, which changes rows, with a count of them that fails unless it is one.
pub(crate) fn counted(sql: &str) -> String {
    format!("WITH changed AS ({sql} RETURNING 1) SELECT 1 / (count(*) = 1)::int FROM changed")
}

/// What came of something that was sent behind something else. The first trouble counts, but a connection that was lost matters more.
pub(crate) fn behind<'a, T>(
    first: Result<(), Trouble<'a>>,
    next: Result<T, Trouble<'a>>,
) -> Result<T, Trouble<'a>> {
    if next.as_ref().is_err_and(Trouble::is_lost) { next } else { first.and(next) }
}

impl Trouble<'_> {
    /// What the driver said of it.
    pub(crate) fn error(&self) -> &Error {
        match self {
            Trouble::Begin { error, .. } | Trouble::Statement(error) | Trouble::Earlier(error, _) => error,
        }
    }

    /// Whether the connection is gone.
    pub(crate) fn is_lost(&self) -> bool {
        is_lost(self.error())
    }

    /// Whether it is the server that said so.
    pub(crate) fn is_said(&self) -> bool {
        self.error().as_db_error().is_some()
    }

    /// Whether the server ended the session with it.
    pub(crate) fn is_fatal(&self) -> bool {
        self.error().as_db_error().is_some_and(is_fatal)
    }
}

impl From<Trouble<'_>> for StoreError {
    fn from(trouble: Trouble<'_>) -> StoreError {
        match trouble {
            Trouble::Begin { error, .. } | Trouble::Statement(error) => store_error(error),
            Trouble::Earlier(error, waiting)
                if waiting.one_row && error.code() == Some(&SqlState::DIVISION_BY_ZERO) =>
            {
                not_one_row()
            }
            // It shows at another statement than the one that it is of: the message says so, and the source which.
            Trouble::Earlier(error, waiting) => {
                let of = store_error(error);
                let (kind, message) =
                    (of.kind, format!("{}, by a statement that was sent before", of.message));
                match of.source {
                    Some(source) => StoreError::new(kind, message)
                        .with_source(OfEarlier { sql: start_of(&waiting.sql), source }),
                    None => StoreError::new(kind, message),
                }
            }
        }
    }
}

/// The beginning of a statement, as much as a log needs.
fn start_of(sql: &str) -> String {
    let cut = sql.char_indices().nth(SQL_CHARS_MAX).map(|(at, _)| at);
    cut.map_or_else(|| sql.to_owned(), |at| format!("{}…", sql.get(..at).unwrap_or_default()))
}

impl Params {
    fn of(statement: &Statement, params: &[ValueRef<'_>]) -> Result<Params, StoreError> {
        let bound = bind(statement, params)?;
        let mut params = Params::default();
        for (bound, of) in bound.iter().zip(statement.params()) {
            let from = params.bytes.len();
            let null = bound
                .to_sql_checked(of, &mut params.bytes)
                .map_err(|unfit| StoreError::new(StoreErrorKind::Type, format!("{UNFIT}: {unfit}")))?;
            params.places.push(match null {
                IsNull::Yes => None,
                IsNull::No => Some(from..params.bytes.len()),
            });
        }
        Ok(params)
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = Param<'_>> {
        self.places.iter().map(|place| Param(place.clone().and_then(|place| self.bytes.get(place))))
    }
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(bytes) = self.0 else { return Ok(IsNull::Yes) };
        out.put_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
