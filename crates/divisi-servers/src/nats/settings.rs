//! How a NATS server should be.

use std::path::PathBuf;

use crate::error::Error;
use crate::install;
use crate::nats::{Broker, Nats};
use crate::server::{Server, on_thread};

/// How a NATS server should be. Nothing must be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    directory: Option<PathBuf>,
    lines: Vec<String>,
    jetstream: Vec<String>,
}

impl Settings {
    /// A temporary directory, and NATS's own settings with JetStream.
    pub fn new() -> Settings {
        Settings::default()
    }

    /// Lives in `directory`, and is found there again with its streams and its port.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Settings {
        self.directory = Some(directory.into());
        self
    }

    /// More text of the configuration: `authorization { … }`, `accounts { … }`, `tls { … }`, `max_payload: 1MB`.
    #[must_use]
    pub fn conf(mut self, text: impl Into<String>) -> Settings {
        self.lines.push(text.into());
        self
    }

    /// One more line of the block `jetstream`, such as `sync_interval: always` or `max_file_store: 64MB`.
    #[must_use]
    pub fn jetstream(mut self, line: impl Into<String>) -> Settings {
        self.jetstream.push(line.into());
        self
    }

    /// Starts a server; about a tenth of a second.
    pub async fn start(self) -> Result<Nats, Error> {
        on_thread(move || {
            let program = install::nats::find()?;
            let broker = Broker { program, lines: self.lines, jetstream: self.jetstream };
            let server = Server::new(broker, self.directory.as_deref())?;
            server.inner.start()?;
            Ok(server)
        })
        .await
    }
}
