//! What the server and the client tell beside answers: connected or not, and what the server refuses.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::{ClientError, Event, ServerError};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use crate::options::{Credentials, Options};

/// Refused subjects that are remembered at the most; a topic has 64 and a few.
const REFUSED_MAX: usize = 4_096;
/// The client's words for a server that does not let it in.
const NOT_LET_IN: &str = "authorization violation";
/// What to do about rights.
const CURE: &str = "`provision --nats` makes users with what they need, docs/nats.md says what that is";

/// What was told since the connection was made.
pub(crate) struct Heard {
    who: Who,
    servers: String,
    /// How many times it was connected: what was known of streams before is to be looked at again.
    pub(crate) lives: AtomicU64,
    pub(crate) connected: Notify,
    /// The last trouble, which is not said twice in a row.
    trouble: Mutex<Option<String>>,
    refused: Mutex<Refused>,
}

/// Who this is to the server, and for whom.
struct Who {
    user: Option<String>,
    services: Vec<String>,
}

/// What the server has refused.
#[derive(Default)]
struct Refused {
    /// The user or its password, the last time it was asked.
    login: bool,
    /// What may be done with which subject, in the server's words: the server answers a request that it does not permit
    /// with nothing but these.
    subjects: BTreeSet<(Act, String)>,
}

/// What is done with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Publish,
    Subscribe,
}

impl Heard {
    pub(crate) fn new(options: &Options, servers: String) -> Heard {
        let user = match &options.credentials {
            Credentials::Password { user, .. } => Some(user.clone()),
            _ => None,
        };
        Heard {
            who: Who { user, services: options.services.clone() },
            servers,
            lives: AtomicU64::new(0),
            connected: Notify::new(),
            trouble: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    pub(crate) fn hear(&self, event: Event) {
        let servers = self.servers.as_str();
        match event {
            Event::Connected => {
                *lock(&self.refused) = Refused::default();
                self.lives.fetch_add(1, Ordering::AcqRel);
                self.connected.notify_waiters();
                let _ = self.is_new(None);
                info!(carrier.servers = servers, "connected to NATS");
            }
            Event::Disconnected => {
                if self.is_new(Some("disconnected".to_owned())) {
                    warn!(carrier.servers = servers, "the connection to NATS is lost, connecting again");
                }
            }
            Event::LameDuckMode => info!(carrier.servers = servers, "a NATS server is about to stop"),
            Event::Draining | Event::Closed => debug!("the NATS client ends"),
            Event::SlowConsumer(_) => {
                warn!(
                    carrier.servers = servers,
                    "NATS brings more than is taken; what was dropped is read again"
                )
            }
            Event::ServerError(ServerError::AuthorizationViolation) => self.not_let_in(),
            Event::ServerError(ServerError::Other(error)) => match refused(&error) {
                Some((act, subject)) => self.refuses(act, subject),
                None => self.trouble(&error),
            },
            Event::ServerError(error) => self.trouble(&error.to_string()),
            Event::ClientError(ClientError::Other(error)) if error == NOT_LET_IN => self.not_let_in(),
            Event::ClientError(error) => self.trouble(&error.to_string()),
        }
    }

    /// Why there is no connection, if the server has said so.
    pub(crate) fn no_connection(&self) -> String {
        let servers = &self.servers;
        match lock(&self.refused).login {
            true => format!("there is no connection to {servers}: {}", self.login()),
            false => format!("there is no connection to {servers}"),
        }
    }

    /// The first thing refused whose subject begins with one of `subjects`, in words.
    pub(crate) fn refusal(&self, subjects: &[&str]) -> Option<String> {
        let refused = lock(&self.refused);
        let asked = |subject: &str| subjects.iter().any(|asked| subject.starts_with(asked));
        let (act, subject) = refused.subjects.iter().find(|(_, subject)| asked(subject))?;
        Some(self.right(*act, subject))
    }

    fn not_let_in(&self) {
        lock(&self.refused).login = true;
        self.trouble(&self.login());
    }

    fn refuses(&self, act: Act, subject: &str) {
        {
            let mut refused = lock(&self.refused);
            if refused.subjects.len() >= REFUSED_MAX {
                refused.subjects.clear();
            }
            if !refused.subjects.insert((act, subject.to_owned())) {
                return;
            }
        }
        warn!(
            carrier.servers = self.servers,
            carrier.user = self.who.user,
            carrier.subject = subject,
            "{}",
            self.right(act, subject)
        );
    }

    fn login(&self) -> String {
        format!("it refuses {}; correct user and password, or give the server what {CURE}", self.who)
    }

    fn right(&self, act: Act, subject: &str) -> String {
        let act = match act {
            Act::Publish => "publish to",
            Act::Subscribe => "subscribe to",
        };
        format!("NATS does not let {} {act} `{subject}`; {CURE}", self.who)
    }

    fn trouble(&self, error: &str) {
        if self.is_new(Some(error.to_owned())) {
            warn!(carrier.servers = self.servers, carrier.user = self.who.user, "NATS: {error}");
        }
    }

    fn is_new(&self, trouble: Option<String>) -> bool {
        let mut last = lock(&self.trouble);
        let new = *last != trouble;
        *last = trouble;
        new
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "the user `{user}`")?,
            None => f.write_str("this client")?,
        }
        match self.services.len() {
            0 => Ok(()),
            1 => write!(f, " of the service `{}`", self.services.concat()),
            _ => write!(f, " of the services `{}`", self.services.join("`, `")),
        }
    }
}

/// What the server does not permit, out of its own words.
fn refused(error: &str) -> Option<(Act, &str)> {
    let (kind, subject) = error.split_once(" to \"")?;
    let act = match kind.to_ascii_lowercase().as_str() {
        "permissions violation for publish" => Act::Publish,
        "permissions violation for subscription" => Act::Subscribe,
        _ => return None,
    };
    subject.split('"').next().map(|subject| (act, subject))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(services: &[&str]) -> Heard {
        let credentials = Credentials::Password { user: "posts".to_owned(), password: "secret".to_owned() };
        let services = services.iter().map(|name| (*name).to_owned()).collect();
        let options = Options { credentials, services, ..Options::new("blog", ["nats://broker:4222"]) };
        Heard::new(&options, "broker:4222".to_owned())
    }

    #[test]
    fn a_refusal_is_found_in_the_servers_words() {
        let table = [
            (r#"Permissions Violation for Publish to "evt.posts.3""#, Some((Act::Publish, "evt.posts.3"))),
            (r#"Permissions Violation for Subscription to "a" using queue "q""#, Some((Act::Subscribe, "a"))),
            ("Permissions Violation for Publish", None),
            ("Stale Connection", None),
            (r#"maximum to "x""#, None),
        ];
        for (words, expected) in table {
            assert_eq!(refused(words), expected, "{words}");
        }
    }

    #[test]
    fn what_is_refused_is_told_to_who_asks_until_the_next_connection() {
        let heard = heard(&["posts", "query"]);
        heard.refuses(Act::Publish, "evt.comments.3");
        assert_eq!(heard.refusal(&["evt.posts."]), None);
        let words = heard.refusal(&["evt.posts.", "evt.comments."]).expect("it is refused");
        assert!(
            words.starts_with("NATS does not let the user `posts` of the services `posts`, `query` publish to `evt.comments.3`; `provision"),
            "{words}"
        );
        heard.hear(Event::ClientError(ClientError::Other(NOT_LET_IN.to_owned())));
        assert!(heard.no_connection().contains("refuses the user `posts`"), "{}", heard.no_connection());
        heard.hear(Event::Connected);
        assert_eq!(heard.refusal(&[""]), None);
        assert_eq!(heard.no_connection(), "there is no connection to broker:4222");
    }
}
