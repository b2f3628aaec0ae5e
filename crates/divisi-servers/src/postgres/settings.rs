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
    files: Vec<(String, Vec<u8>)>,
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

    /// A file beside the data that only the server may read, such as a key or a certificate. The configuration
    /// names it from within the data: `ssl_key_file = '../server.key'`; only an `include` is looked for beside
    /// it.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Settings {
        self.files.push((name.into(), content.into()));
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

    /// Those of another server, but for its directory.
    pub(super) fn like(cluster: &Cluster) -> Settings {
        Settings { directory: None, lines: cluster.lines.clone(), files: cluster.files.clone() }
    }

    /// The server, before its first start.
    pub(super) fn prepared(self) -> Result<Postgres, Error> {
        let (binaries, account) = (Binaries::find()?, Account::unprivileged()?);
        Server::new(
            Cluster { binaries, account, lines: self.lines, files: self.files },
            self.directory.as_deref(),
        )
    }
}
