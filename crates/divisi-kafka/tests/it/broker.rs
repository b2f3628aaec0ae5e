//! The broker that all tests share: a Java machine takes seconds to start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use divisi_kafka::{Kafka, Options};
use divisi_servers::kafka::Settings;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Of the listener that asks who one is.
pub(crate) const USER: &str = "posts";
pub(crate) const PASSWORD: &str = "secret";

static SERVER: OnceCell<divisi_servers::Kafka> = OnceCell::const_new();
static TURN: RwLock<()> = RwLock::const_new(());
static PREFIXES: AtomicU32 = AtomicU32::new(0);

/// The broker, for a test that leaves it in peace, or for one that has it alone.
pub(crate) struct Broker<G> {
    pub(crate) server: divisi_servers::Kafka,
    prefix: String,
    _turn: G,
}

pub(crate) async fn shared() -> Broker<RwLockReadGuard<'static, ()>> {
    Broker::with(TURN.read().await).await
}

pub(crate) async fn alone() -> Broker<RwLockWriteGuard<'static, ()>> {
    Broker::with(TURN.write().await).await
}

impl<G> Broker<G> {
    async fn with(turn: G) -> Broker<G> {
        let server = SERVER.get_or_init(async || launch().await.expect("a broker")).await.clone();
        if !server.is_running() {
            // The test that had it before has failed.
            server.start().await.expect("the broker starts");
        }
        let n = PREFIXES.fetch_add(1, Ordering::Relaxed);
        Broker { server, prefix: format!("test-{n}."), _turn: turn }
    }

    /// Options for topics that nobody else uses.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::new("market", self.server.internal_address().to_string()).alone();
        options.prefix = self.prefix.clone();
        options
    }

    pub(crate) fn carrier(&self) -> Arc<Kafka> {
        Arc::new(Kafka::new(self.options()).expect("options that fit together"))
    }

    /// The name that a topic has on Kafka.
    pub(crate) fn topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }
}

async fn launch() -> Result<divisi_servers::Kafka, divisi_servers::Error> {
    let users = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
    );
    Settings::new()
        .protocol("SASL_PLAINTEXT")
        .property("sasl.enabled.mechanisms", "PLAIN")
        .property("listener.name.client.plain.sasl.jaas.config", users)
        // One that was killed comes back only when the controller has given up the one before.
        .property("broker.session.timeout.ms", "2000")
        .property("broker.heartbeat.interval.ms", "500")
        // A record that was acknowledged is on the disk before the directory is copied.
        .property("log.flush.interval.messages", "1")
        .start()
        .await
}
