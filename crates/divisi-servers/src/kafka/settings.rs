//! How a Kafka server should be.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::Error;
use crate::install;
use crate::kafka::{Kafka, Node};
use crate::port::Port;
use crate::server::{Server, on_thread};

/// What one node alone needs: nobody to replicate to, nobody to wait for, few and small files.
pub(super) const ALONE: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("auto.create.topics.enable", "false"),
    ("log.index.size.max.bytes", "1048576"),
];

/// How a Kafka server should be. Nothing must be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    directory: Option<PathBuf>,
    protocol: String,
    advertised: Option<SocketAddr>,
    properties: Vec<(String, String)>,
    java: Vec<String>,
}

impl Settings {
    /// A temporary directory, clients without passwords or encryption, topics made only when somebody asks for
    /// them.
    pub fn new() -> Settings {
        Settings {
            directory: None,
            protocol: "PLAINTEXT".to_owned(),
            advertised: None,
            properties: Vec::new(),
            java: Vec::new(),
        }
    }

    /// Lives in `directory`, and is found there again with its topics and its port.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Settings {
        self.directory = Some(directory.into());
        self
    }

    /// One more line of `server.properties`. The last of two with one name counts. What concerns the listener of
    /// the clients alone begins with `listener.name.client.`.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Settings {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// How clients speak: `PLAINTEXT` unless it is said, `SASL_PLAINTEXT`, `SSL`, `SASL_SSL`.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Settings {
        self.protocol = protocol.into();
        self
    }

    /// Sends clients to `address` instead of its own: to a proxy that a test has put between them.
    #[must_use]
    pub fn advertise(mut self, address: SocketAddr) -> Settings {
        self.advertised = Some(address);
        self
    }

    /// One more option of the Java machine, such as `-Xmx1g`.
    #[must_use]
    pub fn java(mut self, option: impl Into<String>) -> Settings {
        self.java.push(option.into());
        self
    }

    /// Starts a server; a few seconds.
    pub async fn start(self) -> Result<Kafka, Error> {
        on_thread(move || {
            let node = Node {
                installed: install::kafka::find()?,
                internal: Port::take(0)?,
                controller: Port::take(0)?,
                protocol: self.protocol,
                advertised: self.advertised,
                properties: self.properties,
                java: self.java,
            };
            let server = Server::new(node, self.directory.as_deref())?;
            server.inner.start()?;
            Ok(server)
        })
        .await
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::new()
    }
}
