//! One connection, kept up for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, ServerAddr};
use divisi_events::carrier::CarrierError;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::warn;

use crate::error::ConnectError;
use crate::heard::Heard;
use crate::names::is_token;
use crate::options::{Credentials, Options, without_password};

/// How long a start waits for the first connection; then it goes on without one.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
/// The first pause before a connection is tried again; each further failure doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the server is pinged: one that does not answer two pings is left.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Messages that wait to be sent, over all topics.
const SENDING_MAX: usize = 2_048;
/// Messages of one subscription that wait to be taken; a reader asks for fewer.
const WAITING_MAX: usize = 4_096;
/// Messages that wait for their acknowledgement, over all topics.
const UNACKNOWLEDGED_MAX: u32 = 8_192;
/// The same with those that nobody waits for any more, which the client counts until their time is over.
const ABANDONED_MAX: usize = 32_768;

/// What the subjects of answers begin with.
pub(crate) const INBOX: &str = "_INBOX";

/// The connection and what stands on it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    unacknowledged: Semaphore,
    heard: Arc<Heard>,
    servers: String,
}

impl Connection {
    pub(crate) async fn open(options: &Options) -> Result<Connection, ConnectError> {
        let servers = addresses(&options.servers)?;
        let shown = servers.iter().map(|server| format!("{}:{}", server.host(), server.port()));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let heard = Arc::new(Heard::new(options, shown.clone()));
        let listening = Arc::clone(&heard);
        let client = client_options(options)
            .await?
            .event_callback(move |event| {
                listening.hear(event);
                std::future::ready(())
            })
            .connect(servers)
            .await
            .map_err(|source| ConnectError::Client { source })?;
        let jetstream = ContextBuilder::new()
            .timeout(options.ack_within)
            .ack_timeout(options.ack_within)
            .max_ack_inflight(ABANDONED_MAX)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let unacknowledged = Semaphore::new(UNACKNOWLEDGED_MAX as usize);
        let connection = Connection { client, jetstream, unacknowledged, heard, servers: shown };
        if connection.connected(FIRST_WITHIN).await.is_err() {
            let servers = &connection.servers;
            warn!(carrier.servers = %servers, "NATS is not reachable yet at {servers}");
        }
        Ok(connection)
    }

    /// Waits for a connection, if there is none.
    pub(crate) async fn connected(&self, within: Duration) -> Result<(), CarrierError> {
        let connected = self.heard.connected.notified();
        if self.reachable().is_err() {
            // In time or not, the state says it.
            let _ = timeout(within, connected).await;
        }
        self.reachable()
    }

    /// Whether there is a connection now.
    pub(crate) fn reachable(&self) -> Result<(), CarrierError> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            _ => Err(CarrierError::Unavailable(self.heard.no_connection())),
        }
    }

    /// Why a request with one of `subjects` has no answer, if that is because the server does not permit it: nobody
    /// answers those. Answers must be permitted too.
    pub(crate) fn refusal(&self, subjects: &[&str]) -> Option<String> {
        self.heard.refusal(subjects).or_else(|| self.heard.refusal(&[INBOX]))
    }

    /// The same as an error; in other words where nothing was refused.
    pub(crate) fn unanswered(&self, subjects: &[&str], otherwise: String) -> CarrierError {
        self.refusal(subjects).map_or(CarrierError::Unavailable(otherwise), CarrierError::Misconfigured)
    }

    /// Room for so many messages at once: whoever took some and waited for more would hold up all others. `None` when
    /// there is none in time.
    pub(crate) async fn room(&self, n_messages: usize, within: Duration) -> Option<SemaphorePermit<'_>> {
        let wanted = u32::try_from(n_messages).unwrap_or(UNACKNOWLEDGED_MAX).min(UNACKNOWLEDGED_MAX);
        timeout(within, self.unacknowledged.acquire_many(wanted)).await.ok()?.ok()
    }

    /// How many connections there were: another number, another look at what was known.
    pub(crate) fn life(&self) -> u64 {
        self.heard.lives.load(Ordering::Acquire)
    }
}

fn addresses(servers: &[String]) -> Result<Vec<ServerAddr>, ConnectError> {
    if servers.is_empty() {
        return Err(ConnectError::NoServer);
    }
    let address = |server: &String| {
        server
            .parse()
            .map_err(|source| ConnectError::Server { server: without_password(server).to_owned(), source })
    };
    servers.iter().map(address).collect()
}

async fn client_options(options: &Options) -> Result<ConnectOptions, ConnectError> {
    let mut client = ConnectOptions::new()
        .name(name(options))
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(pause)
        .ping_interval(PING_EVERY)
        .request_timeout(Some(options.answer_within))
        .client_capacity(SENDING_MAX)
        .subscription_capacity(WAITING_MAX)
        .require_tls(options.tls.required);
    client = match &options.credentials {
        Credentials::None => client,
        Credentials::Password { user, password } => {
            // What else listens to all answers, listens to those of others.
            let own = if is_token(user) { format!("{INBOX}.{user}") } else { INBOX.to_owned() };
            client.user_and_password(user.clone(), password.clone()).custom_inbox_prefix(own)
        }
        Credentials::Token(token) => client.token(token.clone()),
        Credentials::NKey(seed) => client.nkey(seed.clone()),
        Credentials::File(path) => client.credentials_file(path).await.map_err(file(path))?,
    };
    if let Some(roots) = &options.tls.roots {
        client = client.add_root_certificates(readable(roots).await?);
    }
    if let Some((certificate, key)) = &options.tls.certificate {
        client = client.add_client_certificate(readable(certificate).await?, readable(key).await?);
    }
    Ok(client)
}

/// How the server's operator sees this connection.
fn name(options: &Options) -> String {
    match options.services.is_empty() {
        true => format!("divisi {}", options.app),
        false => format!("divisi {}: {}", options.app, options.services.join(", ")),
    }
}

/// The pause before a connection is tried again.
fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    let span = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
    span.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// The client reads files when it connects, which it does for ever: better to say now what it cannot read.
async fn readable(path: &Path) -> Result<PathBuf, ConnectError> {
    let opened = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::File::open(opened)).await;
    match read {
        Ok(opened) => opened.map(|_| path.to_owned()).map_err(file(path)),
        Err(error) => Err(file(path)(std::io::Error::other(error))),
    }
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> ConnectError {
    let path = path.to_owned();
    |source| ConnectError::File { path, source }
}
