//! PostgreSQL: a cluster of its own for each server, with a superuser whose password is checked.

mod binaries;
mod settings;
mod standby;
mod template;
mod wire;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::account::Account;
use crate::error::Error;
use crate::install;
use crate::process::Launch;
use crate::program;
use crate::server::{Home, Kind, Server};
pub use binaries::Binaries;
pub use settings::Settings;
pub use standby::Replication;

/// A PostgreSQL server.
pub type Postgres = Server<Cluster>;

/// The superuser, and its password: an account like any other, so that a test of credentials means something.
const USER: &str = "postgres";
const PASSWORD: &str = "postgres";

/// What makes a server a PostgreSQL server; made by [`Settings`].
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    account: Option<Account>,
    lines: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
}

/// How a server is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// When the last client has left.
    Smart,
    /// After it has undone what clients had begun, and written down the rest.
    Fast,
    /// At once; the next start recovers, as after a crash.
    Immediate,
}

impl Postgres {
    /// Starts a server with nothing set, in a temporary directory.
    pub async fn launch() -> Result<Postgres, Error> {
        Settings::new().start().await
    }

    /// Where its superuser reaches the database `postgres`.
    pub fn url(&self) -> String {
        self.url_for(USER, PASSWORD, "postgres")
    }

    /// Where `user` reaches `database`. All three stand in the URL as they are, so they must not need escapes.
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgresql://{user}:{password}@{}/{database}", self.address())
    }

    /// Runs SQL as superuser in the database `postgres`, through `psql`, and brings what it prints: a line a row,
    /// columns parted by `|`.
    pub async fn sql(&self, statements: impl Into<String>) -> Result<String, Error> {
        self.sql_in("postgres", statements).await
    }

    /// The same in another database.
    pub async fn sql_in(&self, database: &str, statements: impl Into<String>) -> Result<String, Error> {
        let (url, statements) = (self.url_for(USER, PASSWORD, database), statements.into());
        self.work(move |inner| inner.kind.sql(&url, &statements)).await
    }

    /// The same as whoever `url` names, in the database that it names.
    pub async fn sql_at(
        &self,
        url: impl Into<String>,
        statements: impl Into<String>,
    ) -> Result<String, Error> {
        let (url, statements) = (url.into(), statements.into());
        self.work(move |inner| inner.kind.sql(&url, &statements)).await
    }

    /// Ends it in one of PostgreSQL's three ways; [`Server::stop`] is the fast one.
    pub async fn shut_down(&self, how: Shutdown) -> Result<(), Error> {
        let signal = match how {
            Shutdown::Smart => Signal::TERM,
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        };
        self.work(move |inner| inner.stop(Some(signal))).await
    }
}

impl Cluster {
    fn sql(&self, url: &str, statements: &str) -> Result<String, Error> {
        let mut psql = self.binaries.command("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        let said = program::run(psql.args(["--dbname", url, "--command", statements]))?;
        Ok(said.trim_end().to_owned())
    }

    /// What stands in the configuration after what initdb wrote there. A standby starts from its primary's data,
    /// so this lies beside the data, not in it.
    fn configuration(&self, home: &Home) -> String {
        let data = home.data();
        let mut text = format!(
            "include '{}'\n\
             listen_addresses = '{}'\n\
             port = {}\n\
             unix_socket_directories = ''\n\
             shared_buffers = '32MB'\n\
             # Not in shared memory of the system, where a killed server would leave it.\n\
             dynamic_shared_memory_type = mmap\n",
            data.join("postgresql.conf").display(),
            home.address().ip(),
            home.address().port(),
        );
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    fn configuration_path(home: &Home) -> PathBuf {
        home.path().join("server.conf")
    }
}

impl Kind for Cluster {
    const NAME: &'static str = "postgres";

    fn prepare(&self, home: &Home) -> Result<(), Error> {
        let (data, configuration) = (home.data(), Cluster::configuration_path(home));
        if !data.is_dir() {
            template::copy(&self.binaries, self.account.as_ref(), &data)?;
        }
        fs::write(&configuration, self.configuration(home)).map_err(Error::files("write", &configuration))?;
        for (name, content) in &self.files {
            let path = home.path().join(name);
            private_file(&path, content).map_err(Error::files("write", &path))?;
        }
        if let Some(account) = &self.account {
            account.reaches(home.path())?;
            account.own(home.path())?;
        }
        Ok(())
    }

    fn launch(&self, home: &Home) -> Launch {
        let configuration = format!("config_file={}", Cluster::configuration_path(home).display());
        Launch {
            program: self.binaries.path("postgres"),
            arguments: vec!["-D".into(), home.data().into(), "-c".into(), configuration.into()],
            variables: Vec::new(),
            account: self.account.clone(),
            ending: Signal::INT,
        }
    }

    fn answers(&self, home: &Home) -> Result<(), String> {
        wire::accepts(home.address(), USER)
    }

    /// A cluster marks itself by a segment of shared memory that has a number for a name. The system keeps it
    /// when the server is killed, and has room for 4,096.
    fn killed(&self, home: &Home) {
        let path = home.data().join("postmaster.pid");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let segment = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
        if let (Some(segment), Some(ipcrm)) = (segment, program::find("ipcrm")) {
            // It may be gone already, and it is small.
            let _ = program::run(Command::new(ipcrm).args(["-m", segment]));
        }
        // Its processes are known to be gone. The next start could take another process for one of them.
        let _ = fs::remove_file(&path);
    }
}

/// Writes a file that only its owner may read, as PostgreSQL wants a private key to be.
fn private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}

/// Finds the server on this machine, and installs it if it is not there and this is root; answers its version.
pub fn install() -> Result<String, Error> {
    install::postgres::install().map(|binaries| binaries.version().to_owned())
}
