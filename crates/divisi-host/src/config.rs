//! What the process is told: defaults, then `divisi.toml`, then the environment.

mod environment;
mod file;
mod found;
mod keys;
mod mistake;
mod secret;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::telemetry::Format;
use divisi_contract::error::Chain;
use found::Entry;
pub use keys::Setting;
pub use mistake::Mistake;

/// Names the configuration file; `--config` goes before it.
pub const FILE: &str = "DIVISI_CONFIG";

/// Says at which points a program that was built for it fails.
const FAIL: &str = "DIVISI_FAIL";

/// Variables that begin like settings and are none.
pub const RESERVED: [&str; 5] =
    [FILE, FAIL, "DIVISI_SEED", crate::supervisor::SUPERVISED_BY, crate::telemetry::TERMINAL];

/// Everything that a process can be told, with the source of each value.
///
/// A later source overrides an earlier one: default, `divisi.toml`, environment, command line. A key that does not exist, a service
/// that the app does not have, or a value of a wrong type is an error, and all of them are reported at once. Paths are
/// relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The directory of the databases.
    pub data: PathBuf,
    /// What is logged and how.
    pub log: Log,
    /// How long a shutdown may take.
    pub shutdown_within: Duration,
    /// The limits of the gateway.
    pub gateway: Gateway,
    /// Where databases are.
    pub store: Store,
    /// The broker that spreads events.
    pub carrier: Carrier,
    /// How long one transaction may take.
    pub transaction_within: Duration,
    /// How long a log keeps what every reader has; none: for ever.
    pub log_kept: Option<Duration>,
    /// The limits of connections between services.
    pub tcp: Tcp,
    /// Where the services are; every service of the app has its entry.
    pub services: BTreeMap<String, Service>,
    sources: BTreeMap<String, Source>,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For whom.
    pub format: Format,
    /// A level, or directives; see [`crate::telemetry::filter()`].
    pub filter: String,
}

/// Where databases are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// Where each service has its database, `{service}` standing for its name; empty: files in the data directory.
    pub url: Secret,
    /// The certificates that sign the server's, as PEM; none: those of the system.
    pub root_certificates: Option<PathBuf>,
    /// How many connections one database of this process holds at the most.
    pub connections_max: usize,
}

/// The broker that spreads events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carrier {
    /// Where it is; empty: there is none, consumers read the logs.
    pub url: Secret,
    /// Who this process is to it.
    pub user: Option<String>,
    /// The user's password.
    pub password: Secret,
    /// How Kafka is shown a password, in its own words; none: the default of what asks.
    pub mechanism: Option<String>,
    /// A file of credentials, instead of a user.
    pub credentials: Option<PathBuf>,
    /// Whether a connection that is not encrypted is refused.
    pub tls: bool,
    /// The certificates that sign the broker's, as PEM; none: those of the system.
    pub root_certificates: Option<PathBuf>,
    /// On how many of its servers an event lies; 0: what the carrier's kind has by default.
    pub replicas: usize,
    /// Whether the user is a service's own, made by an operator together with all that it may use: nothing is made then.
    pub provisioned: bool,
}

/// A text with a secret in it, which is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// The limits of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The largest body of a request.
    pub body_bytes_max: usize,
    /// How long a request may take.
    pub request_within: Duration,
}

/// The limits of connections between services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// The largest frame.
    pub frame_bytes_max: usize,
    /// Calls in flight on one connection.
    pub calls_in_flight_max: usize,
    /// Bytes that may wait to be written.
    pub write_buffer_bytes_max: usize,
    /// Connections that a server keeps.
    pub connections_max: usize,
    /// How long a connection may be silent before the server closes it.
    pub idle_within: Duration,
    /// How long making a connection may take.
    pub connect_within: Duration,
}

/// Where a service is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Where others reach it: host and port.
    pub address: Option<String>,
    /// Where this process listens for calls to it.
    pub listen: Option<SocketAddr>,
    /// Where its database is, whatever `store.url` says; empty: there.
    pub store: Secret,
    /// Who it is to the broker; none: whoever `carrier.user` says.
    pub carrier_user: Option<String>,
    /// The password of that user.
    pub carrier_password: Secret,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// A line of a file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Variable(String),
    /// An option of the command line.
    Argument(&'static str),
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it, or in the environment, is wrong: everything that was found.
    #[error("{}", mistake::lines(.0))]
    Wrong(Vec<Mistake>),
}

impl Config {
    /// The defaults of `app`, whose services are `services`.
    pub fn defaults(app: &str, services: &[&str]) -> Config {
        let limits = divisi_tcp::Limits::default();
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            data: PathBuf::from(format!("./{app}-data")),
            log: Log { format: Format::Text, filter: "info".to_owned() },
            shutdown_within: Duration::from_secs(10),
            gateway: Gateway { body_bytes_max: 1024 * 1024, request_within: Duration::from_secs(30) },
            store: Store { connections_max: 16, ..Store::default() },
            carrier: Carrier::default(),
            transaction_within: Duration::from_millis(250),
            log_kept: None,
            tcp: Tcp {
                frame_bytes_max: limits.frame_max,
                calls_in_flight_max: limits.calls_in_flight_max,
                write_buffer_bytes_max: limits.write_buffer_max,
                connections_max: limits.connections_max,
                idle_within: limits.idle_max,
                connect_within: limits.connect_within,
            },
            services: services.iter().map(|name| ((*name).to_owned(), Service::default())).collect(),
            sources: BTreeMap::new(),
        }
    }

    /// Reads the configuration of `app`, whose services are `services`.
    ///
    /// The file is `file`, or what `DIVISI_CONFIG` names, or `divisi.toml` in the working directory, which alone may
    /// be absent.
    pub fn load(app: &str, services: &[&str], file: Option<&Path>) -> Result<Config, ConfigError> {
        let named = file.map(Path::to_owned).or_else(|| std::env::var_os(FILE).map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| PathBuf::from("divisi.toml"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(ConfigError::Unreadable { file: path, source }),
        };
        let file = text.as_deref().map(|text| (path.as_path(), text));
        Config::read(app, services, file, std::env::vars_os())
    }

    /// The same from a file's path and text and from variables, without looking anywhere.
    pub fn read(
        app: &str,
        services: &[&str],
        file: Option<(&Path, &str)>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, ConfigError> {
        let mut config = Config::defaults(app, services);
        let mut mistakes = Vec::new();
        let mut entries = Vec::new();
        if let Some((path, text)) = file {
            file::read(path, text, &mut entries, &mut mistakes);
        }
        environment::read(variables, services, &mut entries, &mut mistakes);
        for entry in entries {
            config.take(entry, &mut mistakes);
        }
        config.check(app, &mut mistakes);
        if mistakes.is_empty() { Ok(config) } else { Err(ConfigError::Wrong(mistakes)) }
    }

    /// Every value with its source, in the order of the keys' documentation.
    pub fn settings(&self) -> Vec<Setting> {
        keys::settings(self)
    }

    /// The broker as `service` meets it: as its own user, if it has one.
    pub fn carrier_of(&self, service: &str) -> Carrier {
        let mut carrier = self.carrier.clone();
        let own = self.services.get(service).filter(|own| own.carrier_user.is_some());
        if let Some(own) = own {
            carrier.user.clone_from(&own.carrier_user);
            carrier.password = own.carrier_password.clone();
            carrier.credentials = None;
            carrier.provisioned = true;
        }
        carrier
    }

    /// Where the value of `key` comes from.
    pub fn source(&self, key: &str) -> &Source {
        self.sources.get(key).unwrap_or(&Source::Default)
    }

    /// Sets `data` as the command line says, which goes before everything else.
    pub fn set_data(&mut self, data: PathBuf, argument: &'static str) {
        self.data = data;
        self.sources.insert("data".to_owned(), Source::Argument(argument));
    }

    /// Sets `listen` as the command line says, which goes before everything else.
    pub fn set_listen(&mut self, listen: SocketAddr, argument: &'static str) {
        self.listen = listen;
        self.sources.insert("listen".to_owned(), Source::Argument(argument));
    }

    fn take(&mut self, entry: Entry, mistakes: &mut Vec<Mistake>) {
        match keys::set(self, &entry) {
            Ok(()) => {
                self.sources.insert(entry.path.join("."), entry.source);
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }

    /// What only the value as a whole can tell.
    fn check(&self, app: &str, mistakes: &mut Vec<Mistake>) {
        if let Err(error) = crate::telemetry::filter(app, &self.log.filter) {
            let text = Chain(&error).to_string();
            mistakes.push(Mistake::of(self.source("log.filter"), "log.filter", &text));
        }
        let nobodys =
            |service: &Service| service.carrier_user.is_none() && service.carrier_password.reveal().is_some();
        for (name, _) in self.services.iter().filter(|(_, service)| nobodys(service)) {
            let key = format!("services.{name}.carrier_password");
            let text = format!("a password of nobody; `services.{name}.carrier_user` says whose it is");
            mistakes.push(Mistake::of(self.source(&key), &key, &text));
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path, line) => write!(f, "{}:{line}", path.display()),
            Source::Variable(name) => f.write_str(name),
            Source::Argument(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests;
