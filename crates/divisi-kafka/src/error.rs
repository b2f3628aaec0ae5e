//! Why Kafka cannot be set up, and how librdkafka's errors become ours.

use std::path::PathBuf;

use divisi_events::carrier::{CarrierError, PublishError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::options::Options;

/// What OpenSSL says of a certificate that no authority we know has signed. librdkafka calls it an error of SSL, or one
/// of the transport if the broker's part of the handshake was there before librdkafka waited for it.
const NOT_BELIEVED: &str = "certificate verify failed";

/// Why Kafka cannot be set up as it is asked for. A broker that is away is no such reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No broker is named.
    #[error("no broker of Kafka is named: give `host:port` of some, with commas between them")]
    NoBrokers,
    /// A topic must have a partition.
    #[error("partitions is 0: a topic needs at least one")]
    NoPartitions,
    /// More copies must have a record than there are.
    #[error(
        "insync_min is {insync_min} and replication is {replication}: no record could ever be acknowledged; raise \
         replication, or lower insync_min"
    )]
    TooFewCopies {
        /// How many copies there are.
        replication: u16,
        /// How many must have it.
        insync_min: u16,
    },
    /// This build cannot encrypt.
    #[error(
        "{what} needs OpenSSL, and this build has none: build with the feature `ssl` of divisi-kafka, `kafka-tls` of divisi"
    )]
    NeedsSsl {
        /// What needs it.
        what: &'static str,
    },
    /// A file of a certificate or of its key cannot be read.
    #[error("cannot read `{}`, which the options for TLS name", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// librdkafka does not take a property.
    #[error("librdkafka does not take the settings")]
    Client(#[source] KafkaError),
}

/// What an error of a question, or of reading, means.
pub(crate) fn carrier(options: &Options, what: &str, error: &KafkaError) -> CarrierError {
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    };
    let words = match code {
        Some(code) if is_of_user(code) => format!("{what}: {code}; {}", options.cure()),
        Some(code) => format!("{what}: {code}"),
        None => format!("{what}: {error}"),
    };
    match (code, error) {
        // The client does not take what it is given: a file of a certificate that is not there, for example.
        (_, KafkaError::ClientCreation(_) | KafkaError::ClientConfig(..)) => {
            CarrierError::Misconfigured(words)
        }
        (Some(code), _) if is_refusal(code) => CarrierError::Misconfigured(words),
        _ => CarrierError::Unavailable(words),
    }
}

/// The same, with what a connection said.
pub(crate) fn with_reason(
    options: &Options,
    error: CarrierError,
    reason: Option<(RDKafkaErrorCode, String)>,
) -> CarrierError {
    match (error, reason) {
        (CarrierError::Unavailable(words), Some((code, reason))) if is_of_user(code) => {
            CarrierError::Misconfigured(format!("{words}; {reason}; {}", options.cure()))
        }
        (CarrierError::Unavailable(words), Some((code, reason)))
            if is_refusal(code) || reason.contains(NOT_BELIEVED) =>
        {
            CarrierError::Misconfigured(format!("{words}; {reason}"))
        }
        (CarrierError::Unavailable(words), Some((_, reason))) => {
            CarrierError::Unavailable(format!("{words}; {reason}"))
        }
        (error, _) => error,
    }
}

/// Why a record was not published.
pub(crate) fn publish(options: &Options, topic: &str, code: RDKafkaErrorCode) -> PublishError {
    match code {
        code if is_of_user(code) => {
            PublishError::NotAcknowledged(format!("cannot publish to `{topic}`: {code}; {}", options.cure()))
        }
        RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::BrokerTransportFailure => {
            PublishError::Unavailable(code.to_string())
        }
        _ => PublishError::NotAcknowledged(code.to_string()),
    }
}

/// A topic that is not as it should be cannot be published to.
pub(crate) fn not_published(error: CarrierError) -> PublishError {
    match error {
        CarrierError::Unavailable(words) => PublishError::Unavailable(words),
        other => PublishError::NotAcknowledged(other.to_string()),
    }
}

/// Whether it is the user, the password, or what the user may do.
fn is_of_user(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
    )
}

/// Whether somebody must change something before it can work.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    let is_of_setting = matches!(
        code,
        Code::SSL
            | Code::InvalidTopic
            | Code::InvalidReplicationFactor
            | Code::InvalidPartitions
            | Code::InvalidConfig
            | Code::PolicyViolation
    );
    is_of_user(code) || is_of_setting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_believed_is_a_refusal_whatever_code_it_comes_with() {
        let options = Options::new("blog", "b:1");
        for code in [RDKafkaErrorCode::SSL, RDKafkaErrorCode::BrokerTransportFailure] {
            let reason = "error:0A000086:SSL routines::certificate verify failed".to_owned();
            let error =
                with_reason(&options, CarrierError::Unavailable("silent".to_owned()), Some((code, reason)));
            assert!(matches!(error, CarrierError::Misconfigured(_)), "{error:?}");
        }
        let reason = Some((RDKafkaErrorCode::BrokerTransportFailure, "Connection refused".to_owned()));
        let error = with_reason(&options, CarrierError::Unavailable("silent".to_owned()), reason);
        assert!(matches!(error, CarrierError::Unavailable(_)), "{error:?}");
    }
}
