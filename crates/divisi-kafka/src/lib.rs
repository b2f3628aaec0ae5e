//! Kafka as a carrier of events: it spreads them to many readers, and to strangers.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use divisi_events::Carrier;
//! use divisi_kafka::{Kafka, Options};
//!
//! # fn set_up() -> Result<Arc<dyn Carrier>, divisi_kafka::SetupError> {
//! let options = Options::new("blog", "kafka-1:9092,kafka-2:9092");
//! Ok(Arc::new(Kafka::new(options)?)) // nobody is asked yet
//! # }
//! ```
//!
//! It goes to `Consumer::via` in the services that listen and to `Relay::new` in the one that announces. Nothing of it
//! is trusted: a broker that loses, repeats, stalls or is away costs time, and the consumers read on from the log.
//!
//! In order of use: [`Options`] (where it is, how topics are made, the limits), [`Kafka`] (the carrier),
//! [`SetupError`]. Topics are made on first use, or looked at and refused in words. [`provision()`] and [`script()`] are an
//! operator's: topics, and users that may do what their services need.
//!
//! It stands on librdkafka, which is built from source: that takes cmake, a C++ compiler and the headers of curl, which
//! it includes and does not link. TLS and SCRAM take OpenSSL and the feature `ssl`; PLAIN works without.
//!
//! Not here: a fence, since Kafka has none for this; consumer groups and transactions, since positions are kept with
//! the effects; OAUTHBEARER and GSSAPI.

mod arrivals;
mod client;
mod elsewhere;
mod error;
mod heads;
mod incoming;
mod kafka;
pub mod options;
mod place;
mod provision;
mod publisher;
mod rounds;
mod topic;

pub use error::SetupError;
pub use kafka::Kafka;
pub use options::{Credentials, Mechanism, Options, Tls};
pub use provision::{ProvisionError, User, provision, provisioning, script};
