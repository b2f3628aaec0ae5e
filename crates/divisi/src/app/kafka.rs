//! Kafka, as the configuration describes it.

use std::sync::Arc;

use divisi_events::Carrier;
use divisi_host::backends::BoxError;
use divisi_host::config;
use divisi_kafka::{Credentials, Kafka, Mechanism, Options, Tls};

/// The broker at `url`. It is asked as soon as it can be reached.
pub(super) fn carrier(app: &str, url: &str, said: &config::Carrier) -> Result<Arc<dyn Carrier>, BoxError> {
    let brokers = url.split_once("://").map_or(url, |(_, brokers)| brokers);
    let mut options = Options::new(app, brokers.trim_end_matches('/'));
    if let Some(user) = &said.user {
        let password = said.password.reveal().unwrap_or_default();
        options.credentials = Some(Credentials::new(Mechanism::Plain, user, password));
    }
    if said.tls || said.root_certificates.is_some() {
        options.tls = Some(Tls { root_certificates: said.root_certificates.clone(), certificate: None });
    }
    if let Ok(replicas @ 1..) = u16::try_from(said.replicas) {
        options.replication = replicas;
        // One of three may fail; fewer copies than that have none to spare.
        options.insync_min = if replicas > 2 { 2 } else { 1 };
    }
    Ok(Arc::new(Kafka::new(options)?))
}
