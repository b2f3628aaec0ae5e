//! The stream of each topic: made with the right settings, or checked against them.

mod settings;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Info, State};
use divisi_events::carrier::CarrierError;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::info;

use crate::connection::Connection;
use crate::names::{Names, StreamId};
use crate::options::StreamOptions;

/// What is asked of a stream by its name.
const INFO: &str = "$JS.API.STREAM.INFO.";
const CREATE: &str = "$JS.API.STREAM.CREATE.";
/// Topics whose streams are remembered at the most; an app has tens.
const KNOWN_MAX: usize = 1_024;

/// The streams that were looked at.
pub(crate) struct Streams {
    options: StreamOptions,
    within: Duration,
    known: Mutex<HashMap<String, Known>>,
    /// One at a time looks: a relay asks for all lanes at once, and the second finds it looked at.
    looking: Semaphore,
}

#[derive(Clone)]
struct Known {
    id: StreamId,
    /// The connection on which it was looked at.
    life: u64,
}

/// A stream as it is now.
pub(crate) struct Found {
    pub(crate) id: StreamId,
    pub(crate) state: State,
    /// Whether it was made just now.
    pub(crate) made: bool,
}

impl Streams {
    pub(crate) fn new(options: StreamOptions, within: Duration) -> Streams {
        Streams { options, within, known: Mutex::default(), looking: Semaphore::new(1) }
    }

    /// The topic's stream, made if there is none; looked at once a connection.
    pub(crate) async fn id(&self, connection: &Connection, names: &Names) -> Result<StreamId, CarrierError> {
        if let Some(id) = self.known(connection, names) {
            return Ok(id);
        }
        let turn = timeout(self.within, self.looking.acquire()).await;
        let _turn = turn.map_err(|_| late(connection, INFO, &names.stream))?;
        match self.known(connection, names) {
            Some(id) => Ok(id),
            None => Ok(self.look(connection, names).await?.id),
        }
    }

    fn known(&self, connection: &Connection, names: &Names) -> Option<StreamId> {
        let known = self.lock();
        let known = known.get(&names.stream).filter(|known| known.life == connection.life());
        known.map(|known| known.id.clone())
    }

    /// The stream as it is now, made if there is none.
    pub(crate) async fn look(&self, connection: &Connection, names: &Names) -> Result<Found, CarrierError> {
        connection.reachable()?;
        let life = connection.life();
        let (info, made) = match timeout(self.within, connection.jetstream.get_stream(&names.stream)).await {
            Err(_) => return Err(late(connection, INFO, &names.stream)),
            Ok(Ok(stream)) => (stream.cached_info().clone(), false),
            Ok(Err(error)) => match error.kind() {
                GetStreamErrorKind::JetStream(found) if found.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    (self.make(connection, names).await?, true)
                }
                GetStreamErrorKind::JetStream(found) => return Err(refused(&names.stream, &found)),
                _ => {
                    let asked = format!("{INFO}{}", names.stream);
                    return Err(connection.unanswered(&[&asked], with_cause(&error)));
                }
            },
        };
        settings::check(&names.stream, &self.wanted(names), &info.config)?;
        let id = id_of(&names.stream, &info);
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(names.stream.clone(), Known { id: id.clone(), life });
        Ok(Found { id, state: info.state, made })
    }

    /// What is known of the stream is not true any more.
    pub(crate) fn forget(&self, names: &Names) {
        self.lock().remove(&names.stream);
    }

    async fn make(&self, connection: &Connection, names: &Names) -> Result<Info, CarrierError> {
        let stream = &names.stream;
        if !self.options.create {
            return Err(CarrierError::Misconfigured(format!(
                "the stream `{stream}` does not exist, and this carrier may not make it: make it with the subjects `{}`, as `provision --nats` does",
                names.subjects
            )));
        }
        match timeout(self.within, connection.jetstream.create_stream(self.wanted(names))).await {
            Err(_) => Err(late(connection, CREATE, stream)),
            Ok(Ok(made)) => {
                info!(event.topic = %names.topic, carrier.stream = %stream, "made the stream `{stream}`");
                Ok(made.cached_info().clone())
            }
            Ok(Err(error)) => Err(match error.kind() {
                CreateStreamErrorKind::JetStream(why) => refused(stream, &why),
                _ => connection.unanswered(&[&format!("{CREATE}{stream}")], with_cause(&error)),
            }),
        }
    }

    fn wanted(&self, names: &Names) -> async_nats::jetstream::stream::Config {
        settings::wanted(&self.options, names)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name and the instant of creation: what is made anew under the old name is another stream.
fn id_of(stream: &str, info: &Info) -> StreamId {
    StreamId(format!("{stream}@{}", info.created.unix_timestamp_nanos()).into())
}

/// A message with the causes that the client keeps apart.
pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        cause = error.source();
    }
    words
}

/// There was no answer in time, or there will never be one.
fn late(connection: &Connection, asked: &str, stream: &str) -> CarrierError {
    let otherwise = format!("no answer about the stream `{stream}` in time");
    connection.unanswered(&[&format!("{asked}{stream}")], otherwise)
}

/// What the server says no to for good is a setting; what passes (no leader, no room) is not.
fn refused(stream: &str, why: &async_nats::jetstream::Error) -> CarrierError {
    let words = format!("the server refuses the stream `{stream}`: {why}");
    if why.code() == 400 { CarrierError::Misconfigured(words) } else { CarrierError::Unavailable(words) }
}
