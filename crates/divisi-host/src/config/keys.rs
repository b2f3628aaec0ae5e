//! Every key: what it takes and what it is for. The one place to add one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::found::{Entry, Found};
use super::{Config, Mistake, Secret, Service, Source};
use crate::telemetry::Format;

/// One value with its source, as `config` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key: `log.format`.
    pub key: String,
    /// The value, as the file would have it.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
    /// What it is for.
    pub about: &'static str,
}

impl fmt::Display for Setting {
    /// A line that the file may have, with its source as a comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<48} # {}", format!("{} = {}", self.key, self.value), self.source)
    }
}

struct Key {
    name: &'static str,
    about: &'static str,
    expected: &'static str,
    /// `false` when the value is none for this key.
    set: fn(&mut Config, &Found) -> bool,
    show: fn(&Config) -> String,
}

struct ServiceKey {
    name: &'static str,
    about: &'static str,
    expected: &'static str,
    set: fn(&mut Service, &Found) -> bool,
    show: fn(&Service) -> Option<String>,
}

const MIB: u64 = 1024 * 1024;
const ADDRESS: &str = "an address and a port, like \"127.0.0.1:8080\"";

const KEYS: &[Key] = &[
    Key {
        name: "listen",
        about: "where the gateway listens",
        expected: ADDRESS,
        set: |config, found| put(&mut config.listen, found.parse()),
        show: |config| quoted(config.listen),
    },
    Key {
        name: "data",
        about: "the directory of the databases",
        expected: "the path of a directory",
        set: |config, found| {
            put(&mut config.data, found.text().filter(|text| !text.is_empty()).map(Into::into))
        },
        show: |config| quoted(config.data.display()),
    },
    Key {
        name: "log.format",
        about: "for whom logs are written",
        expected: "\"text\" or \"json\"",
        set: |config, found| put(&mut config.log.format, found.text().and_then(format_named)),
        show: |config| quoted(format_name(config.log.format)),
    },
    Key {
        name: "log.filter",
        about: "what is logged: a level, or directives like \"blog_posts=debug\"",
        expected: "a level or directives, as a string",
        set: |config, found| put(&mut config.log.filter, found.text().map(Into::into)),
        show: |config| quoted(&config.log.filter),
    },
    Key {
        name: "shutdown.seconds",
        about: "how long a shutdown may take",
        expected: "a whole number from 1 to 3600",
        set: |config, found| put(&mut config.shutdown_within, found.seconds(1..=3_600)),
        show: |config| config.shutdown_within.as_secs().to_string(),
    },
    Key {
        name: "gateway.body_bytes_max",
        about: "the largest body of a request",
        expected: "a number of bytes, at most 1073741824",
        set: |config, found| put(&mut config.gateway.body_bytes_max, found.size(0..=1024 * MIB)),
        show: |config| config.gateway.body_bytes_max.to_string(),
    },
    Key {
        name: "gateway.request_seconds",
        about: "how long a request may take",
        expected: "a whole number from 1 to 3600",
        set: |config, found| put(&mut config.gateway.request_within, found.seconds(1..=3_600)),
        show: |config| config.gateway.request_within.as_secs().to_string(),
    },
    Key {
        name: "store.url",
        about: "where databases are: \"postgres://…/{service}\", or \"\" for files in `data`",
        expected: "an address, like \"postgres://{service}:secret@localhost/{service}\"",
        set: |config, found| put(&mut config.store.url, found.text().and_then(address)),
        show: |config| quoted(config.store.url.shown()),
    },
    Key {
        name: "store.root_certificates",
        about: "the certificates that sign the database server's, as PEM; \"\" for the system's",
        expected: "the path of a file",
        set: |config, found| put(&mut config.store.root_certificates, found.text().map(path)),
        show: |config| quoted(config.store.root_certificates.as_deref().unwrap_or(Path::new("")).display()),
    },
    Key {
        name: "store.connections_max",
        about: "connections of one database in one process; files need none",
        expected: "a whole number from 4 to 1000",
        set: |config, found| put(&mut config.store.connections_max, found.size(4..=1_000)),
        show: |config| config.store.connections_max.to_string(),
    },
    Key {
        name: "store.transaction_ms",
        about: "how long one transaction may take",
        expected: "a whole number from 1 to 600000",
        set: |config, found| put(&mut config.transaction_within, found.millis(1..=600_000)),
        show: |config| millis(config.transaction_within),
    },
    Key {
        name: "store.log_kept_hours",
        about: "how long a log keeps what every reader has; 0 for ever",
        expected: "a whole number from 0 to 100000",
        set: |config, found| {
            let hours = found.size(0..=100_000).and_then(|hours: usize| u64::try_from(hours).ok());
            put(
                &mut config.log_kept,
                hours.map(|hours| (hours > 0).then(|| Duration::from_secs(hours * 3_600))),
            )
        },
        show: |config| config.log_kept.map_or(0, |kept| kept.as_secs() / 3_600).to_string(),
    },
    Key {
        name: "carrier.url",
        about: "the broker that spreads events: \"nats://…\", \"kafka://…\", or \"\" for none",
        expected: "an address, like \"nats://localhost:4222\" or \"kafka://one:9092,two:9092\"",
        set: |config, found| put(&mut config.carrier.url, found.text().and_then(address)),
        show: |config| quoted(config.carrier.url.shown()),
    },
    Key {
        name: "carrier.user",
        about: "who this process is to the broker; \"\" for nobody",
        expected: "a name",
        set: |config, found| put(&mut config.carrier.user, found.text().map(name)),
        show: |config| quoted(config.carrier.user.as_deref().unwrap_or_default()),
    },
    Key {
        name: "carrier.password",
        about: "the password of `carrier.user`",
        expected: "a text",
        set: |config, found| put(&mut config.carrier.password, found.text().map(Secret::new)),
        show: |config| quoted(config.carrier.password.shown()),
    },
    Key {
        name: "carrier.mechanism",
        about: "how a password is shown to Kafka: as it is, or by SCRAM, which takes OpenSSL; \"\" for \"PLAIN\"",
        expected: "\"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\"",
        set: |config, found| put(&mut config.carrier.mechanism, found.text().and_then(mechanism)),
        show: |config| quoted(config.carrier.mechanism.as_deref().unwrap_or_default()),
    },
    Key {
        name: "carrier.credentials",
        about: "a file of credentials of NATS, instead of a user; \"\" for none",
        expected: "the path of a file",
        set: |config, found| put(&mut config.carrier.credentials, found.text().map(path)),
        show: |config| quoted(config.carrier.credentials.as_deref().unwrap_or(Path::new("")).display()),
    },
    Key {
        name: "carrier.tls",
        about: "whether a connection to the broker that is not encrypted is refused",
        expected: "\"yes\" or \"no\"",
        set: |config, found| put(&mut config.carrier.tls, found.text().and_then(yes_or_no)),
        show: |config| quoted(if config.carrier.tls { "yes" } else { "no" }),
    },
    Key {
        name: "carrier.root_certificates",
        about: "the certificates that sign the broker's, as PEM; \"\" for the system's",
        expected: "the path of a file",
        set: |config, found| put(&mut config.carrier.root_certificates, found.text().map(path)),
        show: |config| quoted(config.carrier.root_certificates.as_deref().unwrap_or(Path::new("")).display()),
    },
    Key {
        name: "carrier.replicas",
        about: "on how many of the broker's servers an event lies; 0 for its kind's default: NATS 1, Kafka 3",
        expected: "a whole number from 0 to 5",
        set: |config, found| put(&mut config.carrier.replicas, found.size(0..=5)),
        show: |config| config.carrier.replicas.to_string(),
    },
    Key {
        name: "tcp.frame_bytes_max",
        about: "the largest frame between services",
        expected: "a number of bytes from 8192 to 1073741824",
        set: |config, found| put(&mut config.tcp.frame_bytes_max, found.size(8_192..=1024 * MIB)),
        show: |config| config.tcp.frame_bytes_max.to_string(),
    },
    Key {
        name: "tcp.calls_in_flight_max",
        about: "calls in flight on one connection",
        expected: "a whole number from 1 to 1000000",
        set: |config, found| put(&mut config.tcp.calls_in_flight_max, found.size(1..=1_000_000)),
        show: |config| config.tcp.calls_in_flight_max.to_string(),
    },
    Key {
        name: "tcp.write_buffer_bytes_max",
        about: "bytes that may wait to be written to one connection",
        expected: "a number of bytes from 8192 to 1073741824",
        set: |config, found| put(&mut config.tcp.write_buffer_bytes_max, found.size(8_192..=1024 * MIB)),
        show: |config| config.tcp.write_buffer_bytes_max.to_string(),
    },
    Key {
        name: "tcp.connections_max",
        about: "connections that a service keeps",
        expected: "a whole number from 1 to 1000000",
        set: |config, found| put(&mut config.tcp.connections_max, found.size(1..=1_000_000)),
        show: |config| config.tcp.connections_max.to_string(),
    },
    Key {
        name: "tcp.idle_seconds",
        about: "how long a connection may be silent",
        expected: "a whole number from 1 to 86400",
        set: |config, found| put(&mut config.tcp.idle_within, found.seconds(1..=86_400)),
        show: |config| config.tcp.idle_within.as_secs().to_string(),
    },
    Key {
        name: "tcp.connect_ms",
        about: "how long making a connection may take",
        expected: "a whole number from 1 to 600000",
        set: |config, found| put(&mut config.tcp.connect_within, found.millis(1..=600_000)),
        show: |config| millis(config.tcp.connect_within),
    },
];

/// The last parts of keys whose values have secrets in them: no error shows them.
pub(super) const SECRET: [&str; 4] = ["url", "store", "password", "carrier_password"];

const SERVICES: &str = "services";

const SERVICE_KEYS: &[ServiceKey] = &[
    ServiceKey {
        name: "address",
        about: "where others reach the service",
        expected: "a host and a port, like \"posts:7070\"",
        set: |service, found| put(&mut service.address, found.host_and_port().map(Some)),
        show: |service| service.address.as_ref().map(quoted),
    },
    ServiceKey {
        name: "listen",
        about: "where this process listens for calls to the service",
        expected: ADDRESS,
        set: |service, found| put(&mut service.listen, found.parse().map(Some)),
        show: |service| service.listen.map(quoted),
    },
    ServiceKey {
        name: "store",
        about: "where the service's database is, whatever `store.url` says",
        expected: "an address, like \"postgres://comments:secret@localhost/comments\"",
        set: |service, found| put(&mut service.store, found.text().and_then(address)),
        show: |service| service.store.reveal().map(|_| quoted(service.store.shown())),
    },
    ServiceKey {
        name: "carrier_user",
        about: "who the service is to the broker, whatever `carrier.user` says; it then makes nothing there",
        expected: "a name",
        set: |service, found| put(&mut service.carrier_user, found.text().map(name)),
        show: |service| service.carrier_user.as_ref().map(quoted),
    },
    ServiceKey {
        name: "carrier_password",
        about: "the password of the service's `carrier_user`",
        expected: "a text",
        set: |service, found| put(&mut service.carrier_password, found.text().map(Secret::new)),
        show: |service| service.carrier_password.reveal().map(|_| quoted(service.carrier_password.shown())),
    },
];

/// Puts a value where it belongs, or says what is wrong with it.
pub(super) fn set(config: &mut Config, entry: &Entry) -> Result<(), Mistake> {
    let path: Vec<&str> = entry.path.iter().map(String::as_str).collect();
    if let [SERVICES, name, ref rest @ ..] = path[..] {
        return match config.services.get_mut(name) {
            Some(service) => set_service(service, rest, entry),
            None => None,
        }
        .unwrap_or_else(|| {
            let known = config.services.contains_key(name);
            Err(if known { unknown(config, entry) } else { Mistake::unknown_service(entry, name, config) })
        });
    }
    let name = path.join(".");
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) if (key.set)(config, &entry.found) => Ok(()),
        Some(key) => Err(Mistake::wrong_value(entry, key.expected)),
        None if matches!(entry.found, Found::EmptyTable) && is_section(config, &name) => Ok(()),
        None => Err(unknown(config, entry)),
    }
}

/// The answer for a key of a known service; `None` when there is no such key.
fn set_service(service: &mut Service, rest: &[&str], entry: &Entry) -> Option<Result<(), Mistake>> {
    let [name] = rest else {
        return (rest.is_empty() && matches!(entry.found, Found::EmptyTable)).then_some(Ok(()));
    };
    let key = SERVICE_KEYS.iter().find(|key| key.name == *name)?;
    let fits = (key.set)(service, &entry.found);
    Some(if fits { Ok(()) } else { Err(Mistake::wrong_value(entry, key.expected)) })
}

fn unknown(config: &Config, entry: &Entry) -> Mistake {
    let section = entry.path.join(".") + ".";
    let inside: Vec<String> =
        all(config).iter().filter_map(|key| key.strip_prefix(&section)).map(str::to_owned).collect();
    if inside.is_empty() { Mistake::unknown_key(entry, config) } else { Mistake::is_section(entry, &inside) }
}

fn is_section(config: &Config, name: &str) -> bool {
    name == SERVICES || all(config).iter().any(|key| key.starts_with(&format!("{name}.")))
}

/// Every key that this app knows.
pub(super) fn all(config: &Config) -> Vec<String> {
    let of_service = |name| SERVICE_KEYS.iter().map(move |key| format!("{SERVICES}.{name}.{}", key.name));
    let keys = KEYS.iter().map(|key| key.name.to_owned());
    keys.chain(config.services.keys().flat_map(of_service)).collect()
}

pub(super) fn settings(config: &Config) -> Vec<Setting> {
    let setting = |key: String, value, about| {
        let source = config.source(&key).clone();
        Setting { key, value, source, about }
    };
    let mut settings: Vec<Setting> =
        KEYS.iter().map(|key| setting(key.name.to_owned(), (key.show)(config), key.about)).collect();
    for (name, service) in &config.services {
        for key in SERVICE_KEYS {
            if let Some(value) = (key.show)(service) {
                settings.push(setting(format!("{SERVICES}.{name}.{}", key.name), value, key.about));
            }
        }
    }
    settings
}

fn put<T>(place: &mut T, value: Option<T>) -> bool {
    value.map(|value| *place = value).is_some()
}

/// An address, or nothing.
fn address(text: &str) -> Option<Secret> {
    (text.is_empty()
        || text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()))
    .then(|| Secret::new(text))
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn name(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// One of Kafka's, or none.
fn mechanism(text: &str) -> Option<Option<String>> {
    ["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&text).then(|| name(text))
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn quoted(value: impl ToString) -> String {
    toml::Value::String(value.to_string()).to_string()
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn format_named(name: &str) -> Option<Format> {
    [Format::Text, Format::Json].into_iter().find(|format| format_name(*format) == name)
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Text => "text",
        Format::Json => "json",
    }
}
