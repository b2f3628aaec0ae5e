//! Who is asked, and which way: the process that runs a service, or its databases when none does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_contract::error::Chain;
use divisi_store::{OpenError, StoreName, Stores};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::desk::Desk;
use super::local;
use super::protocol::{ANSWER_BYTES_MAX, Question, Refused, Reply};
use super::socket::{self, SocketError};
use crate::graph::Graph;
use crate::service::Service;

/// How long a process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a process that owns a database and does not listen yet, or no more, is waited for.
const HELD_WITHIN: Duration = Duration::from_secs(5);
/// How often it is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Asks the services of an app. What it has opened stays open until [`Office::close`].
pub(crate) struct Office<'a> {
    pub(super) graph: &'a Graph,
    stores: Arc<dyn Stores>,
    data: PathBuf,
    opened: BTreeMap<ServiceName, Desk>,
    /// Those that were waited for in vain: once is enough.
    waited: BTreeSet<ServiceName>,
}

/// Why a service did not answer, or would not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Unanswered {
    /// It will not.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It has never run here.
    #[error("there is no data of `{service}` in {}; `--data` names another directory", data.display())]
    NoData { service: ServiceName, data: PathBuf },
    /// Somebody has the database and takes no commands.
    #[error("{owner} has the database of `{service}` and takes no commands")]
    Held { service: ServiceName, owner: String },
    /// It does not run, and its database cannot be opened.
    #[error("`{service}` does not run, and its database cannot be opened")]
    Open { service: ServiceName, source: OpenError },
    /// Its process cannot be reached.
    #[error("the process of `{service}` cannot be reached")]
    Socket { service: ServiceName, source: SocketError },
    /// Its process said nothing in time.
    #[error(
        "the process of `{service}` did not answer within {ANSWER_WITHIN:?}; what was asked may have been done"
    )]
    Silent { service: ServiceName },
    /// Its process ended while it was asked.
    #[error("the process of `{service}` ended before it answered; what was asked may have been done")]
    Broken { service: ServiceName, source: io::Error },
    /// It said something else.
    #[error(
        "the process of `{service}` answered what cannot be understood; is it another version of the program?"
    )]
    Unclear { service: ServiceName, source: serde_json::Error },
}

/// A service that did not answer, as it is told.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Absent {
    pub(super) service: String,
    pub(super) why: String,
}

impl<'a> Office<'a> {
    /// An office for the services of `graph`, whose databases are in `data`.
    pub(crate) fn new(graph: &'a Graph, stores: Arc<dyn Stores>, data: PathBuf) -> Office<'a> {
        Office { graph, stores, data, opened: BTreeMap::new(), waited: BTreeSet::new() }
    }

    /// Asks one service.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        service: &Service,
        question: Question,
    ) -> Result<T, Unanswered> {
        let name = service.name();
        let reply = self.reply(service, question).await?;
        match reply {
            Reply::Answer(value) => serde_json::from_value(value)
                .map_err(|source| Unanswered::Unclear { service: name.clone(), source }),
            Reply::Refused(refused) => Err(Unanswered::Refused(refused)),
        }
    }

    /// Asks every service that `concerns` picks; the answers, and who did not answer.
    pub(super) async fn ask_all<T: DeserializeOwned>(
        &mut self,
        concerns: impl Fn(&Service) -> bool,
        question: &Question,
    ) -> (Vec<(ServiceName, T)>, Vec<Absent>) {
        let (mut answers, mut absent) = (Vec::new(), Vec::new());
        for service in self.graph.services().iter().filter(|service| concerns(service)) {
            match self.ask(service, question.clone()).await {
                Ok(answer) => answers.push((service.name().clone(), answer)),
                Err(why) => absent.push(Absent::of(service.name(), &why)),
            }
        }
        (answers, absent)
    }

    /// Closes what was opened.
    pub(crate) async fn close(self) {
        for desk in self.opened.values() {
            local::close(desk).await;
        }
    }

    async fn reply(&mut self, service: &Service, question: Question) -> Result<Reply, Unanswered> {
        let name = service.name();
        let patience = if self.waited.contains(name) { Duration::ZERO } else { HELD_WITHIN };
        let until = Instant::now() + patience;
        loop {
            if let Some(desk) = self.opened.get(name) {
                return Ok(desk.answer(question).await);
            }
            let connected = socket::connect(&self.data, name.as_str()).await;
            let connected =
                connected.map_err(|source| Unanswered::Socket { service: name.clone(), source })?;
            if let Some(stream) = connected {
                return over(stream, name, &question).await;
            }
            match self.open(service).await {
                Ok(desk) => drop(self.opened.insert(name.clone(), desk)),
                // It starts or stops at this moment.
                Err(Unanswered::Held { .. }) if Instant::now() < until => sleep(TRY_EVERY).await,
                Err(error) => {
                    self.waited.insert(name.clone());
                    return Err(error);
                }
            }
        }
    }

    async fn open(&self, service: &Service) -> Result<Desk, Unanswered> {
        let name = service.name();
        let failed = |source| match source {
            OpenError::InUse { owner, .. } => Unanswered::Held { service: name.clone(), owner },
            source => Unanswered::Open { service: name.clone(), source },
        };
        if !self.stores.exists(&StoreName::of(name)).await.map_err(failed)? {
            return Err(Unanswered::NoData { service: name.clone(), data: self.data.clone() });
        }
        local::open(self.graph, service, &self.stores).await.map_err(failed)
    }
}

impl Absent {
    pub(super) fn of(service: &ServiceName, why: &Unanswered) -> Absent {
        Absent { service: service.as_str().to_owned(), why: Chain(why).to_string() }
    }
}

/// Asks over a connection.
pub(super) async fn over(
    mut stream: UnixStream,
    name: &ServiceName,
    question: &Question,
) -> Result<Reply, Unanswered> {
    let unclear = |source| Unanswered::Unclear { service: name.clone(), source };
    let mut bytes = serde_json::to_vec(question).map_err(unclear)?;
    bytes.push(b'\n');
    let exchange = async {
        stream.write_all(&bytes).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await?;
        match answer.last() {
            Some(b'\n') => Ok(answer),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    };
    match timeout(ANSWER_WITHIN, exchange).await {
        Ok(Ok(answer)) => serde_json::from_slice(&answer).map_err(unclear),
        Ok(Err(source)) => Err(Unanswered::Broken { service: name.clone(), source }),
        Err(_) => Err(Unanswered::Silent { service: name.clone() }),
    }
}
