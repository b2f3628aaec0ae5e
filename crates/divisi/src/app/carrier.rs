//! Brokers, as the configuration describes them.

use std::sync::Arc;

use divisi_events::Carrier;
use divisi_host::backends::BoxError;
use divisi_host::config;

/// NATS JetStream. It is connected to as soon as it can be reached.
#[cfg(feature = "nats")]
pub(super) async fn nats(app: &str, url: &str, said: &config::Carrier) -> Result<Arc<dyn Carrier>, BoxError> {
    use divisi_nats::{Credentials, Nats, Options};

    let mut options = Options::new(app, url.split(','));
    if let Some(file) = &said.credentials {
        options.credentials = Credentials::File(file.clone());
    } else if let Some(user) = &said.user {
        let password = said.password.reveal().unwrap_or_default().to_owned();
        options.credentials = Credentials::Password { user: user.clone(), password };
    }
    options.tls.required = said.tls;
    options.tls.roots.clone_from(&said.root_certificates);
    if said.replicas > 0 {
        options.stream.replicas = said.replicas;
    }
    Ok(Arc::new(Nats::connect(options).await?))
}

/// Kafka. It is asked as soon as it can be reached.
#[cfg(feature = "kafka")]
pub(super) fn kafka(app: &str, url: &str, said: &config::Carrier) -> Result<Arc<dyn Carrier>, BoxError> {
    use divisi_kafka::{Credentials, Kafka, Mechanism, Options, Tls};

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
