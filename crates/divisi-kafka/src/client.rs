//! How clients of librdkafka are set up, and where their words go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

use crate::options::Options;

/// The group that librdkafka wants a reader to name. Nobody joins it and nothing is stored under it: positions are
/// the consumer's own.
const GROUP: &str = "divisi";
/// An error of one kind is warned of so often at the most; in between it is told to who debugs.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// The longest pause before a broker is tried again: a reader should not be late because of a broker that is back.
const RECONNECT_MAX_MS: &str = "1000";
/// A broker that owes an answer for so long is left: it hangs, or the connection is dead.
const SILENCE_MS: &str = "10000";
/// How old a client's knowledge of a topic may be: a topic that was made anew is seen by then.
const METADATA_MS: &str = "10000";

/// How long a connection may take whose failure says why a cluster does not answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long one poll of a client waits.
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// What all clients have in common.
fn common(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config
        .set("bootstrap.servers", &options.brokers)
        .set("client.id", "divisi")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", RECONNECT_MAX_MS)
        .set("socket.keepalive.enable", "true")
        .set("socket.timeout.ms", SILENCE_MS)
        .set("topic.metadata.refresh.interval.ms", METADATA_MS)
        .set("log.connection.close", "false");
    let protocol = match (&options.credentials, &options.tls) {
        (None, None) => "plaintext",
        (Some(_), None) => "sasl_plaintext",
        (None, Some(_)) => "ssl",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(credentials) = &options.credentials {
        config
            .set("sasl.mechanisms", credentials.mechanism.name())
            .set("sasl.username", &credentials.user)
            .set("sasl.password", credentials.password());
    }
    if let Some(tls) = &options.tls {
        let mut file = |name: &str, path: &std::path::Path| {
            config.set(name, path.to_string_lossy());
        };
        if let Some(roots) = &tls.root_certificates {
            file("ssl.ca.location", roots);
        }
        if let Some((certificate, key)) = &tls.certificate {
            file("ssl.certificate.location", certificate);
            file("ssl.key.location", key);
        }
    }
    config
}

/// A client that asks and arranges.
pub(crate) fn asking(options: &Options) -> ClientConfig {
    with_properties(common(options), options)
}

/// A client that publishes: in order, each record once as long as the client lives, acknowledged by all copies.
pub(crate) fn publishing(options: &Options) -> ClientConfig {
    let mut config = common(options);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "1")
        .set("message.timeout.ms", millis(options.publish_within))
        .set("queue.buffering.max.messages", options.sending_records_max.to_string())
        .set("queue.buffering.max.kbytes", kbytes(options.sending_bytes_max));
    with_properties(config, options)
}

/// A client that reads from where it is told.
pub(crate) fn reading(options: &Options) -> ClientConfig {
    let mut config = common(options);
    // A fetch brings a quarter of what may wait, so that what waits and what is on its way stay within bounds.
    let fetch = (options.reading_bytes_max / 4).max(1024 * 1024).to_string();
    config
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "false")
        .set("auto.offset.reset", "latest")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "50")
        .set("fetch.max.bytes", &fetch)
        .set("fetch.message.max.bytes", "262144")
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", kbytes(options.reading_bytes_max));
    with_properties(config, options)
}

fn with_properties(mut config: ClientConfig, options: &Options) -> ClientConfig {
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    config
}

fn millis(span: Duration) -> String {
    span.as_millis().clamp(1, i32::MAX as u128).to_string()
}

fn kbytes(bytes: usize) -> String {
    (bytes / 1024).clamp(1, 2_097_151).to_string()
}

/// Why a cluster does not answer, as a client hears it that does nothing but connect. It blocks, a second at the most.
///
/// A client that asks says only that the time was over.
pub(crate) fn why_silent(options: &Options) -> Option<(RDKafkaErrorCode, String)> {
    let words = Words::default();
    let config = asking(options);
    let client = BaseConsumer::from_config_and_context(&config, words.clone()).ok()?;
    let until = Instant::now() + CONNECT_WITHIN;
    while Instant::now() < until {
        // Its errors come through `words`.
        drop(client.poll(POLL));
        if let Some(last) = words.last.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Some(last);
        }
    }
    None
}

/// Brings what a client of librdkafka says into our log.
#[derive(Clone, Default)]
pub(crate) struct Words {
    /// When an error was warned of last, by its number.
    said: Arc<Mutex<HashMap<i32, Instant>>>,
    /// The last error, and its reason.
    last: Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>,
}

impl Words {
    /// Whether it is time to warn of an error of this kind.
    fn is_news(&self, code: RDKafkaErrorCode) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_news = said.get(&(code as i32)).is_none_or(|at| now.duration_since(*at) >= WARN_EVERY);
        if is_news {
            said.insert(code as i32, now);
        }
        is_news
    }
}

impl ClientContext for Words {
    /// Errors of connections come as warnings by way of [`ClientContext::error`]; here they would come twice.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(target: "librdkafka", { kafka.facility = facility }, "{message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                debug!(target: "librdkafka", { kafka.facility = facility }, "{message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::trace!(target: "librdkafka", { kafka.facility = facility }, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) =
            error.rdkafka_error_code().filter(|code| *code != RDKafkaErrorCode::AllBrokersDown)
        {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
        match error.rdkafka_error_code() {
            Some(code) if self.is_news(code) => warn!(target: "librdkafka", "{code}: {reason}"),
            Some(code) => debug!(target: "librdkafka", "{code}: {reason}"),
            None => info!(target: "librdkafka", "{error}: {reason}"),
        }
    }
}

impl ConsumerContext for Words {}

#[cfg(test)]
mod tests {
    use rdkafka::producer::BaseProducer;

    use super::*;
    use crate::options::{Credentials, Mechanism};

    #[test]
    fn librdkafka_takes_every_setting() {
        let mut options = Options::new("blog", "127.0.0.1:1");
        options.credentials = Some(Credentials::new(Mechanism::Plain, "posts", "secret"));
        asking(&options).create::<BaseProducer>().expect("one that asks");
        publishing(&options).create::<BaseProducer>().expect("one that publishes");
        reading(&options).create::<BaseConsumer>().expect("one that reads");
    }

    #[test]
    fn an_operators_property_stands_over_ours() {
        let mut options = Options::new("blog", "127.0.0.1:1");
        options.properties.push(("compression.type".to_owned(), "none".to_owned()));
        assert_eq!(publishing(&options).get("compression.type"), Some("none"));
    }

    #[test]
    fn one_kind_of_trouble_is_warned_of_once_a_minute() {
        let words = Words::default();
        assert!(words.is_news(RDKafkaErrorCode::AllBrokersDown));
        assert!(!words.is_news(RDKafkaErrorCode::AllBrokersDown));
        assert!(words.is_news(RDKafkaErrorCode::Authentication));
    }
}
