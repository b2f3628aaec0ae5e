//! The real servers behind a bank, each on a port and in a directory of its own.

use std::fmt::Display;
use std::future::Future;
use std::path::Path;

use divisi_servers::postgres::{Settings, Shutdown};
use divisi_servers::{Error, Kafka, Nats, Postgres};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

/// Which broker spreads the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spreads {
    Nats,
    Kafka,
}

/// A broker that runs, or does not at the moment.
#[derive(Debug)]
pub(crate) enum Broker {
    Nats(Nats),
    Kafka(Kafka),
}

impl Broker {
    pub(crate) fn launch(which: Spreads) -> Broker {
        match which {
            Spreads::Nats => Broker::Nats(wait(Nats::launch())),
            Spreads::Kafka => {
                let settings = divisi_servers::kafka::Settings::new()
                    // One that was killed comes back only when the controller has given up the one before.
                    .property("broker.session.timeout.ms", "2000")
                    .property("broker.heartbeat.interval.ms", "500");
                Broker::Kafka(wait(settings.start()))
            }
        }
    }

    /// The value of `carrier.url`.
    pub(crate) fn url(&self) -> String {
        match self {
            Broker::Nats(nats) => nats.url(),
            Broker::Kafka(kafka) => format!("kafka://{}", kafka.url()),
        }
    }

    pub(crate) fn start(&self) {
        self.each(Nats::start, Kafka::start);
    }

    pub(crate) fn stop(&self) {
        self.each(Nats::stop, Kafka::stop);
    }

    pub(crate) fn kill(&self) {
        self.each(Nats::kill, Kafka::kill);
    }

    pub(crate) fn freeze(&self) {
        self.each(Nats::freeze, Kafka::freeze);
    }

    pub(crate) fn thaw(&self) {
        self.each(Nats::thaw, Kafka::thaw);
    }

    pub(crate) fn copy_data(&self, to: &Path) {
        match self {
            Broker::Nats(nats) => wait(nats.copy_data(to)),
            Broker::Kafka(kafka) => wait(kafka.copy_data(to)),
        }
    }

    pub(crate) fn restore_data(&self, from: &Path) {
        match self {
            Broker::Nats(nats) => wait(nats.restore_data(from)),
            Broker::Kafka(kafka) => wait(kafka.restore_data(from)),
        }
    }

    /// Deletes the stream or topic of one of our topics, as an operator would by mistake.
    pub(crate) fn forget(&self, topic: &str) {
        match self {
            Broker::Nats(nats) => wait(async {
                let client = async_nats::connect(nats.url()).await.map_err(|error| error.to_string())?;
                let context = async_nats::jetstream::new(client);
                context
                    .delete_stream(format!("evt_{topic}"))
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string())
            }),
            Broker::Kafka(kafka) => wait(async {
                let mut config = ClientConfig::new();
                let admin: AdminClient<DefaultClientContext> = config
                    .set("bootstrap.servers", kafka.url())
                    .create()
                    .map_err(|error| error.to_string())?;
                let deleted = admin.delete_topics(&[topic], &AdminOptions::new()).await;
                deleted
                    .map_err(|error| error.to_string())?
                    .remove(0)
                    .map(drop)
                    .map_err(|(_, code)| code.to_string())
            }),
        }
    }

    fn each(
        &self,
        nats: impl AsyncFnOnce(&Nats) -> Result<(), Error>,
        kafka: impl AsyncFnOnce(&Kafka) -> Result<(), Error>,
    ) {
        match self {
            Broker::Nats(server) => wait(nats(server)),
            Broker::Kafka(server) => wait(kafka(server)),
        }
    }
}

/// A server with room for every process of a bank.
pub(crate) fn postgres() -> Postgres {
    // Whoever is killed loses nothing by it: the system keeps what was written. A shared disk would set the pace of all
    // that is measured, and recovery would sync every file of the cluster first.
    wait(Settings::new().conf("max_connections = 200").conf("fsync = off").start())
}

/// Ends a server at once, as a crash of it would, and starts it again.
pub(crate) fn crash(server: &Postgres) {
    wait(server.shut_down(Shutdown::Immediate));
    wait(server.start());
}

/// Waits for what a server or its client does.
pub(crate) fn wait<T, E: Display>(work: impl Future<Output = Result<T, E>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}
