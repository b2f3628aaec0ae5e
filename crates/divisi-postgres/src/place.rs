//! Where a store lives: server, database and schema, from a service's address.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use divisi_store::{OpenError, StoreError, StoreErrorKind, StoreName};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::options::Options;

/// Where a server listens when the address does not say.
const PORT: u16 = 5_432;
/// The longest name that PostgreSQL keeps whole.
const NAME_BYTES_MAX: usize = 63;

/// Where a store lives.
#[derive(Clone)]
pub(crate) struct Place {
    /// How to reach it; the password is in here.
    pub(crate) config: Config,
    /// Its schema, quoted.
    pub(crate) schema: String,
    /// For messages: database, host and port, schema, never the password.
    pub(crate) what: String,
}

impl Place {
    /// The place of `name` in the database at `url`.
    pub(crate) fn new(name: &StoreName, url: &str, options: &Options) -> Result<Place, OpenError> {
        let wrong = |todo: &str| refused(&format!("the database of `{}`", name.service), todo);
        let (url, encrypted) = encryption(url).map_err(wrong)?;
        let mut config: Config = url
            .parse()
            // The driver's words may repeat a part of the address, so they stay out.
            .map_err(|_| wrong("its URL is not `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("its URL names no host"));
        }
        let Some(database) = config.get_dbname().map(str::to_owned) else {
            return Err(wrong("its URL names no database"));
        };
        let encrypted = encrypted.unwrap_or_else(|| !config.get_hosts().iter().all(is_here));
        if config.get_hosts().len() > 1 {
            // Whichever of them is the primary now.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        config.connect_timeout(options.connect_timeout);
        // The system counts whole seconds, and takes none for a mistake.
        let whole = |span: Duration| span.max(Duration::from_secs(1));
        config.keepalives_idle(whole(options.silence_timeout / 3));
        config.keepalives_interval(whole(options.silence_timeout / 6));
        config.keepalives_retries(4);
        config.tcp_user_timeout(whole(options.silence_timeout));
        config.application_name(match &options.application_name {
            Some(instance) => format!("{name} {instance}"),
            None => name.to_string(),
        });
        let hosts = addresses(&config);
        let (schema, what) = match &name.projection {
            None => (options.schema.clone(), format!("database `{database}` at {hosts}")),
            Some((projection, version)) => {
                let schema = format!("{projection}_v{version}");
                let what = format!("schema `{schema}` of database `{database}` at {hosts}");
                (schema, what)
            }
        };
        if schema.len() > NAME_BYTES_MAX || schema.contains('\0') {
            return Err(refused(
                &what,
                "the schema's name is longer than PostgreSQL keeps, 63 bytes; shorten it",
            ));
        }
        Ok(Place { config, schema: quoted(&schema), what })
    }

    /// The database's name.
    pub(crate) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// All hosts with their ports.
fn addresses(config: &Config) -> String {
    let port = |n: usize| {
        let ports = config.get_ports();
        // One port may stand for all hosts.
        ports.get(n).or_else(|| ports.first()).copied().unwrap_or(PORT)
    };
    let address = |(n, host): (usize, &Host)| match host {
        Host::Tcp(host) => format!("{host}:{}", port(n)),
        #[cfg(unix)]
        Host::Unix(path) => format!("{}:{}", path.display(), port(n)),
    };
    config.get_hosts().iter().enumerate().map(address).collect::<Vec<_>>().join(", ")
}

/// A name in double quotes, as SQL wants it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Something about an address, or a server, that somebody must mend.
pub(crate) fn refused(what: &str, todo: &str) -> OpenError {
    let source = StoreError::new(StoreErrorKind::Other, "the store was not opened");
    OpenError::Server { what: what.to_owned(), todo: todo.to_owned(), source }
}

/// Takes `sslmode` out of an address: whether it asks for TLS, if it says. Where TLS is used the server's certificate is
/// verified, so there is nothing between.
fn encryption(url: &str) -> Result<(String, Option<bool>), &'static str> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err("its URL does not begin with `postgres://`");
    }
    let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), None)) };
    let mut encrypted = None;
    let mut others = Vec::new();
    for part in query.split('&') {
        match part.split_once('=') {
            Some(("sslmode", "disable")) => encrypted = Some(false),
            Some(("sslmode", "require" | "verify-full")) => encrypted = Some(true),
            Some(("sslmode", _)) => {
                return Err(
                    "its `sslmode` is `disable` (a network that is trusted) or `require` (TLS, and the certificate is \
                     verified); what may fall back to plain text in silence is not offered",
                );
            }
            _ => others.push(part),
        }
    }
    let query = others.join("&");
    Ok((if query.is_empty() { address.to_owned() } else { format!("{address}?{query}") }, encrypted))
}

/// Whether a host is this machine: there alone nothing needs to be encrypted when the address does not say.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests;
