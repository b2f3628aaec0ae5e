//! What a carrier is told: servers, credentials, what streams should be. Each limit has a name and a default.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use divisi_events::cloud_event::percent;

/// How long an acknowledgement may take. 5 s: a server that syncs each message to a slow disk takes one.
pub const ACK_WITHIN: Duration = Duration::from_secs(5);
/// How long any other answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What a NATS carrier is told. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// The app, which begins the type of every event: `app.service.Name.v1`.
    pub app: String,
    /// The services that it is for, as messages name them; it works without.
    pub services: Vec<String>,
    /// Addresses, `nats://host:4222`; `tls://` demands TLS. One is enough, servers tell of each other.
    pub servers: Vec<String>,
    /// What subjects and streams begin with; another one separates apps on one account.
    pub prefix: String,
    /// How the client says who it is.
    pub credentials: Credentials,
    /// Whether and how the connection is encrypted.
    pub tls: Tls,
    /// What the stream of each topic should be.
    pub stream: StreamOptions,
    /// How long an acknowledgement may take; see [`ACK_WITHIN`].
    pub ack_within: Duration,
    /// How long any other answer may take; see [`ANSWER_WITHIN`].
    pub answer_within: Duration,
}

/// How a client says who it is. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// It does not, or the first address does that has a user: `nats://user:password@host`, `nats://token@host`.
    None,
    /// By a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// By a token.
    Token(String),
    /// By the seed of an nkey, `SU…`.
    NKey(String),
    /// By a file of credentials, as `nsc` makes them.
    File(PathBuf),
}

/// Whether and how the connection is encrypted. Trusted are the roots of the system, and those named here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Refuse a server that does not encrypt.
    pub required: bool,
    /// A file of further roots, PEM.
    pub roots: Option<PathBuf>,
    /// This side's certificate and its key, PEM, for a server that asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// What the stream of each topic should be. One that exists and is something else is refused, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// Whether a stream that does not exist is made. Without it, an operator makes them.
    pub create: bool,
    /// How long an event stays. What is older is read from the log by those who still need it.
    pub max_age: Duration,
    /// How many bytes stay; the oldest go first. The server reserves them.
    pub max_bytes: Option<u64>,
    /// On how many servers of a cluster it lies.
    pub replicas: usize,
    /// How long the server drops what is published twice.
    pub duplicate_window: Duration,
}

impl Options {
    /// Everything by default, for an app and its servers.
    pub fn new<S: Into<String>>(app: impl Into<String>, servers: impl IntoIterator<Item = S>) -> Options {
        Options {
            app: app.into(),
            services: Vec::new(),
            servers: servers.into_iter().map(Into::into).collect(),
            prefix: "evt".to_owned(),
            credentials: Credentials::None,
            tls: Tls::default(),
            stream: StreamOptions::default(),
            ack_within: ACK_WITHIN,
            answer_within: ANSWER_WITHIN,
        }
    }

    /// The same with the user and the password of an address as credentials, if there are no others, and no address
    /// with them: the client looks there for none.
    #[must_use]
    pub fn with_user_of_address(mut self) -> Options {
        let mut found = None;
        for server in &mut self.servers {
            let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
            // A password may have an `@` in it that should have been written otherwise: the last one counts.
            let Some((user, host)) = rest.rsplit_once('@') else { continue };
            found.get_or_insert_with(|| match user.split_once(':') {
                Some((user, password)) => {
                    Credentials::Password { user: unescaped(user), password: unescaped(password) }
                }
                None => Credentials::Token(unescaped(user)),
            });
            *server = format!("{scheme}://{host}");
        }
        if let (Some(found), Credentials::None) = (found, &self.credentials) {
            self.credentials = found;
        }
        self
    }
}

/// A part of an address as it is meant: `%40` is `@`.
fn unescaped(text: &str) -> String {
    String::from_utf8_lossy(&percent::decode(text.as_bytes())).into_owned()
}

impl Default for StreamOptions {
    /// Seven days on one server, and the server's own two minutes against doubles.
    fn default() -> StreamOptions {
        StreamOptions {
            create: true,
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            max_bytes: None,
            replicas: 1,
            duplicate_window: Duration::from_secs(120),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(|server| without_password(server)).collect();
        f.debug_struct("Options")
            .field("app", &self.app)
            .field("services", &self.services)
            .field("servers", &servers)
            .field("prefix", &self.prefix)
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .field("stream", &self.stream)
            .field("ack_within", &self.ack_within)
            .field("answer_within", &self.answer_within)
            .finish()
    }
}

/// An address without the user and the password that it may begin with.
pub(crate) fn without_password(server: &str) -> &str {
    server.rsplit_once('@').map_or(server, |(_, host)| host)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::Password { user, .. } => write!(f, "Password({user}, …)"),
            Credentials::Token(_) => f.write_str("Token(…)"),
            Credentials::NKey(_) => f.write_str("NKey(…)"),
            Credentials::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(servers: &[&str]) -> Options {
        Options::new("blog", servers.iter().copied()).with_user_of_address()
    }

    #[test]
    fn an_address_may_say_who_it_is() {
        let options = of(&["nats://one:4222", "tls://me:p%40s@s%@two:4222"]);
        assert_eq!(options.servers, ["nats://one:4222", "tls://two:4222"]);
        let password = Credentials::Password { user: "me".to_owned(), password: "p@s@s%".to_owned() };
        assert_eq!(options.credentials, password);
        assert_eq!(of(&["token@one"]).credentials, Credentials::Token("token".to_owned()));
        assert_eq!(of(&["one:4222"]).credentials, Credentials::None);
        let given = Options { credentials: password.clone(), ..Options::new("blog", ["nats://a:b@one"]) };
        assert_eq!(given.with_user_of_address().credentials, password, "what is said elsewhere goes before");
    }
}
