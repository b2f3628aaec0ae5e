//! One connection, kept up for ever. That it is down is said once, and that it is back.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use divisi_events::carrier::CarrierError;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::error::ConnectError;
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
const UNACKNOWLEDGED_MAX: u32 = 2_048;
/// The same with those that nobody waits for any more, which the client counts until their time is over.
const ABANDONED_MAX: usize = 8_192;

/// The connection and what stands on it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    unacknowledged: Semaphore,
    heard: Arc<Heard>,
    servers: String,
}

/// What the client has told.
#[derive(Default)]
struct Heard {
    /// How many times it was connected: what was known of streams before is to be looked at again.
    lives: AtomicU64,
    connected: Notify,
    /// The last trouble, which is not said twice in a row.
    trouble: Mutex<Option<String>>,
}

impl Connection {
    pub(crate) async fn open(options: &Options) -> Result<Connection, ConnectError> {
        let servers = addresses(&options.servers)?;
        let shown = servers.iter().map(|server| format!("{}:{}", server.host(), server.port()));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let heard = Arc::new(Heard::default());
        let listening = (Arc::clone(&heard), shown.clone());
        let client = client_options(options)
            .await?
            .event_callback(move |event| {
                listening.0.hear(event, &listening.1);
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
        connection.first().await;
        Ok(connection)
    }

    /// Waits a moment for the first connection.
    async fn first(&self) {
        let connected = self.heard.connected.notified();
        if self.reachable().is_err() && timeout(FIRST_WITHIN, connected).await.is_err() {
            warn!(carrier.servers = %self.servers, "NATS is not reachable yet at {}", self.servers);
        }
    }

    /// Whether there is a connection now.
    pub(crate) fn reachable(&self) -> Result<(), CarrierError> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            _ => Err(CarrierError::Unavailable(format!("there is no connection to {}", self.servers))),
        }
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

impl Heard {
    fn hear(&self, event: Event, servers: &str) {
        match event {
            Event::Connected => {
                self.lives.fetch_add(1, Ordering::AcqRel);
                self.connected.notify_waiters();
                let _ = self.is_new(None);
                info!(carrier.servers = servers, "connected to NATS");
            }
            Event::Disconnected => {
                if self.is_new(Some("disconnected".to_owned())) {
                    warn!(carrier.servers = servers, "the connection to NATS is lost, connecting again");
                }
            }
            Event::LameDuckMode => info!(carrier.servers = servers, "a NATS server is about to stop"),
            Event::Draining | Event::Closed => debug!("the NATS client ends"),
            Event::SlowConsumer(_) => {
                warn!(
                    carrier.servers = servers,
                    "NATS brings more than is taken; what was dropped is read again"
                )
            }
            Event::ServerError(error) => self.trouble(error.to_string(), servers),
            Event::ClientError(error) => self.trouble(error.to_string(), servers),
        }
    }

    fn trouble(&self, error: String, servers: &str) {
        if self.is_new(Some(error.clone())) {
            warn!(carrier.servers = servers, "NATS: {error}");
        }
    }

    fn is_new(&self, trouble: Option<String>) -> bool {
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let new = *last != trouble;
        *last = trouble;
        new
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
        .name(format!("divisi {}", options.app))
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
        Credentials::Password { user, password } => client.user_and_password(user.clone(), password.clone()),
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
