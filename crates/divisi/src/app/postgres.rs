//! PostgreSQL, as the configuration describes it.

use std::sync::Arc;

use divisi_host::backends::{BoxError, Plan, Provisioned};
use divisi_host::config::{Config, Secret};
use divisi_postgres::{Options, Postgres, Urls, own_url, provisioning};
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

/// A role and a database for each service.
pub(super) async fn provision(plan: &Plan) -> Result<Provisioned, BoxError> {
    let admin = plan.server.reveal().unwrap_or_default();
    let options =
        Options { root_certificates: plan.config.store.root_certificates.clone(), ..Options::default() };
    let mut provisioned = Provisioned::default();
    for needs in &plan.services {
        let service = &needs.service;
        let password = needs.password.reveal().filter(|_| !plan.dry_run).unwrap_or("…");
        if plan.dry_run {
            provisioned.text.push_str(&format!("-- {service}\n{}", provisioning(service, password)));
            continue;
        }
        let made = divisi_postgres::provision(admin, service, password, &options).await?;
        let there = if made { "made" } else { "was there" };
        provisioned.done.push(format!(
            "{service}: database `{service}` {there}, role `{service}` owns it with a password of its own, nobody else may connect"
        ));
        let url = own_url(admin, service, password).unwrap_or_default();
        provisioned.settings.push((format!("services.{service}.store"), Secret::new(url)));
    }
    Ok(provisioned)
}
