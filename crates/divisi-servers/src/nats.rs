//! NATS: one server with JetStream.

mod settings;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::error::Error;
use crate::install;
use crate::process::Launch;
use crate::server::{Home, Kind, Server};
pub use settings::Settings;

/// A NATS server.
pub type Nats = Server<Broker>;

/// How long a greeting may take before it is looked for again.
const GREETING_WITHIN: Duration = Duration::from_secs(2);

/// What makes a server a NATS server; made by [`Settings`].
#[derive(Debug)]
pub struct Broker {
    program: PathBuf,
    lines: Vec<String>,
    jetstream: Vec<String>,
}

impl Nats {
    /// Starts a server with nothing set, in a temporary directory.
    pub async fn launch() -> Result<Nats, Error> {
        Settings::new().start().await
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// The same for `user`, one of those in the configuration that the caller gave it.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        format!("nats://{user}:{password}@{}", self.address())
    }
}

impl Broker {
    fn configuration(&self, home: &Home) -> String {
        let address = home.address();
        format!(
            "listen: \"{address}\"\n\
             server_name: \"divisi-{}\"\n\
             jetstream {{\n\
             store_dir: \"{}\"\n\
             {}\n\
             }}\n\
             {}\n",
            address.port(),
            home.data().display(),
            self.jetstream.join("\n"),
            self.lines.join("\n"),
        )
    }

    fn configuration_path(home: &Home) -> PathBuf {
        home.path().join("nats.conf")
    }
}

impl Kind for Broker {
    const NAME: &'static str = "nats";

    fn prepare(&self, home: &Home) -> Result<(), Error> {
        let (data, configuration) = (home.data(), Broker::configuration_path(home));
        fs::create_dir_all(&data).map_err(Error::files("make", &data))?;
        fs::write(&configuration, self.configuration(home)).map_err(Error::files("write", &configuration))
    }

    fn launch(&self, home: &Home) -> Launch {
        Launch {
            program: self.program.clone(),
            arguments: vec!["--config".into(), Broker::configuration_path(home).into()],
            variables: Vec::new(),
            account: None,
            ending: Signal::TERM,
        }
    }

    /// It greets clients only when its streams are recovered, and before any of them must say who it is.
    fn answers(&self, home: &Home) -> Result<(), String> {
        let greeting = greeting(home.address()).map_err(|error| error.to_string())?;
        match greeting.starts_with("INFO ") && greeting.contains("\"jetstream\":true") {
            true => Ok(()),
            false => Err(format!("it greets with {greeting:?}")),
        }
    }

    fn killed(&self, _: &Home) {}
}

/// Finds the server on this machine, and installs it if it is not there; answers its version.
pub fn install() -> Result<String, Error> {
    install::nats::install().map(|_| install::nats::VERSION.to_owned())
}

fn greeting(address: SocketAddr) -> std::io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, GREETING_WITHIN)?;
    stream.set_read_timeout(Some(GREETING_WITHIN))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}
