//! Every key: what it takes and what it is for. The one place to add one.

use std::fmt;
use std::time::Duration;

use super::found::{Entry, Found};
use super::{Config, Mistake, Service, Source};
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
