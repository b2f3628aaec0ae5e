//! What can be chosen about Kafka, the limits, and the reason of each default.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::SetupError;

/// Partitions of a topic: as many consumers of strangers can share it, and each of ours follows all of them.
pub const PARTITIONS: u16 = 8;
/// Copies of each partition, and how many of them must have a record before it counts: one broker may fail.
pub const REPLICATION: u16 = 3;
/// See [`REPLICATION`].
pub const INSYNC_MIN: u16 = 2;
/// How long records stay: long enough for a reader that was away; what is gone it reads from the log.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a record may wait for its acknowledgement before it counts as not published.
pub const PUBLISH_WITHIN: Duration = Duration::from_secs(5);
/// How long a question to the cluster may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes that wait to be sent, all topics together: a relay has up to four answers of the log under way a topic.
pub const SENDING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Records that wait to be sent.
pub const SENDING_RECORDS_MAX: usize = 20_000;
/// Bytes that one subscription holds before they are asked for.
pub const READING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Whether this build can encrypt. It is OpenSSL that does, and a feature that brings it.
const ENCRYPTS: bool = cfg!(feature = "ssl");

/// How Kafka is reached and how topics are made.
///
/// ```
/// use divisi_kafka::{Credentials, Mechanism, Options};
///
/// let mut options = Options::new("blog", "kafka-1:9092,kafka-2:9092");
/// options.credentials = Some(Credentials::new(Mechanism::Plain, "posts", "secret"));
/// assert!(!format!("{options:?}").contains("secret"));
///
/// // One broker, as on a developer's machine.
/// let options = Options::new("blog", "127.0.0.1:9092").alone();
/// assert_eq!((options.replication, options.insync_min), (1, 1));
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// The app: the first part of every event's type, as strangers see it.
    pub app: String,
    /// The services that it is for, as messages name them; it works without.
    pub services: Vec<String>,
    /// Some brokers of the cluster, `host:port`, with commas between them.
    pub brokers: String,
    /// What stands before the event's topic in the name of Kafka's topic.
    pub prefix: String,
    /// Partitions of a topic; see [`PARTITIONS`]. Lane *n* is in partition *n* modulo this.
    pub partitions: u16,
    /// Copies of each partition; see [`REPLICATION`].
    pub replication: u16,
    /// Copies that must have a record before it is acknowledged; see [`INSYNC_MIN`].
    pub insync_min: u16,
    /// How long records stay; `None`: for ever. See [`RETENTION`].
    pub retention: Option<Duration>,
    /// Whether topics that are missing are made. Off where the credentials at hand may not.
    pub create: bool,
    /// Who we are; nobody asks without.
    pub credentials: Option<Credentials>,
    /// How connections are encrypted; not at all without.
    pub tls: Option<Tls>,
    /// See [`PUBLISH_WITHIN`].
    pub publish_within: Duration,
    /// See [`ANSWER_WITHIN`].
    pub answer_within: Duration,
    /// See [`SENDING_BYTES_MAX`].
    pub sending_bytes_max: usize,
    /// See [`SENDING_RECORDS_MAX`].
    pub sending_records_max: usize,
    /// See [`READING_BYTES_MAX`].
    pub reading_bytes_max: usize,
    /// Properties of librdkafka, over those that are set here. They are not looked at: one that breaks the order of
    /// records costs work, since readers find the gaps.
    pub properties: Vec<(String, String)>,
}

/// Who we are to the cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// How it is shown.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    password: String,
}

/// How a password is shown to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mechanism {
    /// As it is: whoever listens on the way reads it, unless the connection is encrypted.
    Plain,
    /// SCRAM-SHA-256, which does not send it. Needs the feature `ssl`, for its hashes.
    ScramSha256,
    /// SCRAM-SHA-512. Needs the feature `ssl`.
    ScramSha512,
}

/// How connections are encrypted. Needs the feature `ssl`. The broker's name is always checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates that sign the brokers', as PEM; without it those of the system.
    pub root_certificates: Option<PathBuf>,
    /// Our own certificate and its key, as PEM, where brokers ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Options {
    /// Reaches `brokers` without credentials, and makes topics as production has them: three copies, seven days.
    pub fn new(app: impl Into<String>, brokers: impl Into<String>) -> Options {
        Options {
            app: app.into(),
            services: Vec::new(),
            brokers: brokers.into(),
            prefix: String::new(),
            partitions: PARTITIONS,
            replication: REPLICATION,
            insync_min: INSYNC_MIN,
            retention: Some(RETENTION),
            create: true,
            credentials: None,
            tls: None,
            publish_within: PUBLISH_WITHIN,
            answer_within: ANSWER_WITHIN,
            sending_bytes_max: SENDING_BYTES_MAX,
            sending_records_max: SENDING_RECORDS_MAX,
            reading_bytes_max: READING_BYTES_MAX,
            properties: Vec::new(),
        }
    }

    /// For a cluster of one broker: one copy.
    #[must_use]
    pub fn alone(mut self) -> Options {
        (self.replication, self.insync_min) = (1, 1);
        self
    }

    /// What is to be done about a refusal, and whose it is: the cluster does not say either.
    pub(crate) fn cure(&self) -> String {
        let who = match &self.credentials {
            Some(credentials) => format!("the user `{}`", credentials.user),
            None => "this client, which says no user,".to_owned(),
        };
        let whose = match self.services.len() {
            0 => String::new(),
            1 => format!(" of the service `{}`", self.services.concat()),
            _ => format!(" of the services `{}`", self.services.join("`, `")),
        };
        format!(
            "it refuses {who}{whose}; `provision --kafka` makes users with what they need, docs/kafka.md says what that is"
        )
    }

    /// Whether this build can do what is asked for.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        if self.brokers.trim().is_empty() {
            return Err(SetupError::NoBrokers);
        }
        if self.partitions == 0 {
            return Err(SetupError::NoPartitions);
        }
        if self.insync_min > self.replication {
            return Err(SetupError::TooFewCopies {
                replication: self.replication,
                insync_min: self.insync_min,
            });
        }
        if !ENCRYPTS {
            let scram = self.credentials.as_ref().map(|credentials| credentials.mechanism);
            if let Some(mechanism) = scram.filter(|mechanism| *mechanism != Mechanism::Plain) {
                return Err(SetupError::NeedsSsl { what: mechanism.name() });
            }
            if self.tls.is_some() {
                return Err(SetupError::NeedsSsl { what: "TLS" });
            }
        }
        // librdkafka does not say which file it misses.
        self.tls.iter().flat_map(Tls::files).try_for_each(|path| {
            File::open(path).map(drop).map_err(|source| SetupError::File { path: path.clone(), source })
        })
    }
}

impl Tls {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let own = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.root_certificates.iter().chain(own)
    }
}

impl Credentials {
    /// A user and a password.
    pub fn new(mechanism: Mechanism, user: impl Into<String>, password: impl Into<String>) -> Credentials {
        Credentials { mechanism, user: user.into(), password: password.into() }
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }
}

impl Mechanism {
    /// The best that this build can show.
    pub const fn best() -> Mechanism {
        if ENCRYPTS { Mechanism::ScramSha512 } else { Mechanism::Plain }
    }

    /// As Kafka calls it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
