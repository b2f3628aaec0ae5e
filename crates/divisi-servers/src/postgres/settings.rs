//! How a PostgreSQL server should be.

use std::path::PathBuf;

use crate::account::Account;
use crate::error::Error;
use crate::postgres::binaries::Binaries;
use crate::postgres::{Cluster, Postgres};
use crate::server::{Server, on_thread};

/// How a PostgreSQL server should be. Nothing must be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    directory: Option<PathBuf>,
    lines: Vec<String>,
}

impl Settings {
    /// A temporary directory, and PostgreSQL's own settings, but for 32 MB of shared buffers.
    pub fn new() -> Settings {
        Settings::default()
    }

    /// Lives in `directory`, and is found there again with its data and its port.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Settings {
        self.directory = Some(directory.into());
        self
    }

    /// One more line of `postgresql.conf`, such as `fsync = off`. The last of two with one name counts.
    #[must_use]
    pub fn conf(mut self, line: impl Into<String>) -> Settings {
        self.lines.push(line.into());
        self
    }

    /// Starts a server. Less than a second, but for the first one on a machine.
    pub async fn start(self) -> Result<Postgres, Error> {
        on_thread(move || {
            let server = self.prepared()?;
            server.inner.start()?;
            Ok(server)
        })
        .await
    }

    /// The server, before its first start.
    pub(super) fn prepared(self) -> Result<Postgres, Error> {
        let (binaries, account) = (Binaries::find()?, Account::unprivileged()?);
        Server::new(Cluster { binaries, account, lines: self.lines }, self.directory.as_deref())
    }
}
