//! PostgreSQL, as the configuration describes it.

use std::sync::Arc;

use divisi_host::config::Config;
use divisi_postgres::{Options, Postgres, Urls};
use divisi_store::Stores;

/// The databases at the addresses of `config`.
pub(super) fn stores(app: &str, config: &Config) -> Arc<dyn Stores> {
    let template = config.store.url.reveal().map(Urls::from_template).unwrap_or_default();
    let urls = config.services.iter().fold(template, |urls, (name, service)| match service.store.reveal() {
        Some(url) => urls.with(name.as_str(), url),
        None => urls,
    });
    let defaults = Options::default();
    let options = Options {
        connections_max: config.store.connections_max,
        // A quarter is kept for calls and reads.
        connections_of_consumers: (config.store.connections_max * 3 / 4).max(1),
        application_name: Some(app.to_owned()),
        root_certificates: config.store.root_certificates.clone(),
        retention: config.log_kept,
        ..defaults
    };
    Arc::new(Postgres::new(urls, options))
}
