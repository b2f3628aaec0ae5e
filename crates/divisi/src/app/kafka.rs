//! Kafka, as the configuration describes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_events::cloud_event::percent;
use divisi_host::backends::{BoxError, Needs, Plan, Provisioned};
use divisi_host::config::{self, Secret};
use divisi_kafka::{Credentials, Kafka, Mechanism, Options, Tls, User, script};

/// The broker at `url`, as the user of `services`. It is asked as soon as it can be reached.
pub(super) fn carrier(
    app: &str,
    url: &str,
    said: &config::Carrier,
    services: &[ServiceName],
) -> Result<Arc<dyn Carrier>, BoxError> {
    let mechanism = said.mechanism.as_deref().map_or(Mechanism::Plain, mechanism);
    let mut options = options(app, url, said, mechanism);
    options.services = services.iter().map(ToString::to_string).collect();
    if let Some(user) = &said.user {
        let password = said.password.reveal().unwrap_or_default();
        options.credentials = Some(Credentials::new(mechanism, user, password));
    }
    options.create = !said.provisioned;
    Ok(Arc::new(Kafka::new(options)?))
}

/// Two topics for each topic, and a script that makes a user for each service.
pub(super) async fn provision(plan: &Plan) -> Result<Provisioned, BoxError> {
    let url = plan.server.reveal().unwrap_or_default();
    let said = &plan.config.carrier;
    let mechanism = said.mechanism.as_deref().map_or(Mechanism::best(), mechanism);
    let options = options(&plan.app, url, said, mechanism);
    let topics: BTreeSet<&str> =
        plan.services.iter().flat_map(|needs| needs.announces.iter().copied()).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    let mut provisioned = Provisioned { text: head(plan, mechanism), ..Provisioned::default() };
    if plan.dry_run {
        provisioned.text.push_str(&divisi_kafka::provisioning(&options, &topics)?);
    } else {
        for (topic, made) in divisi_kafka::provision(options.clone(), &topics).await? {
            let there = if made { "made" } else { "was there" };
            provisioned.done.push(format!("topic `{topic}`, with that of its beacons, {there}"));
        }
    }
    let users = plan.services.iter().map(|needs| User {
        name: needs.service.as_str(),
        password: needs.password.reveal().filter(|_| !plan.dry_run),
        announces: needs.announces.clone(),
        hears: needs.hears.clone(),
    });
    let users: Vec<User<'_>> = users.collect();
    provisioned.text.push_str(&script(&options, mechanism, &topics, &users)?);
    if let Some((file, _)) = &plan.file {
        let file = file.display();
        provisioned.done.push(format!("users of {}, and what they may do: run `sh {file}`", plan.app));
        provisioned.settings = settings(plan, &options, mechanism);
    }
    Ok(provisioned)
}

/// What leads the services there, each as its own user.
fn settings(plan: &Plan, options: &Options, mechanism: Mechanism) -> Vec<(String, Secret)> {
    let mut settings = vec![
        ("carrier.url".to_owned(), Secret::new(format!("kafka://{}", options.brokers))),
        ("carrier.mechanism".to_owned(), Secret::new(mechanism.name())),
    ];
    for Needs { service, password, .. } in &plan.services {
        settings.push((format!("services.{service}.carrier_user"), Secret::new(service.as_str())));
        settings.push((format!("services.{service}.carrier_password"), password.clone()));
    }
    settings
}

/// Says what the script is and how it is run.
fn head(plan: &Plan, mechanism: Mechanism) -> String {
    let app = &plan.app;
    let name = plan.file.as_ref().and_then(|(file, _)| file.file_name());
    let name = name.map_or("FILE".into(), |name| name.to_string_lossy());
    let mut head = format!(
        "#!/bin/sh\n\
         # Users of `{app}` on Kafka and what each may do, made by `{app} provision --kafka`. It takes Kafka's commands in the\n\
         # PATH and a user who may alter the cluster, and may be repeated:\n\
         #   sh {name} [--command-config OPERATOR.properties]\n"
    );
    if mechanism == Mechanism::Plain {
        head.push_str(
            "# By PLAIN, each broker has the passwords in its own configuration:\n\
             #   PlainLoginModule required",
        );
        for Needs { service, password, .. } in &plan.services {
            let password = password.reveal().filter(|_| !plan.dry_run).unwrap_or("…");
            head.push_str(&format!(" user_{service}=\"{password}\""));
        }
        head.push_str(";\n");
    }
    head
}

/// How the brokers at `url` are reached. Who says so in the address is a user.
fn options(app: &str, url: &str, said: &config::Carrier, mechanism: Mechanism) -> Options {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    // A password may have an `@` in it that should have been written otherwise: the last one counts.
    let (user, brokers) = place.rsplit_once('@').map_or((None, place), |(user, rest)| (Some(user), rest));
    let mut options = Options::new(app, brokers.trim_end_matches('/'));
    if let Some((user, password)) = user.and_then(|user| user.split_once(':')) {
        let meant = |text: &str| String::from_utf8_lossy(&percent::decode(text.as_bytes())).into_owned();
        options.credentials = Some(Credentials::new(mechanism, meant(user), meant(password)));
    }
    if said.tls || said.root_certificates.is_some() {
        options.tls = Some(Tls { root_certificates: said.root_certificates.clone(), certificate: None });
    }
    if let Ok(replicas @ 1..) = u16::try_from(said.replicas) {
        options.replication = replicas;
        // One of three may fail; fewer copies than that have none to spare.
        options.insync_min = if replicas > 2 { 2 } else { 1 };
    }
    options
}

/// The configuration has looked that it is one of them.
fn mechanism(name: &str) -> Mechanism {
    match name {
        "SCRAM-SHA-256" => Mechanism::ScramSha256,
        "SCRAM-SHA-512" => Mechanism::ScramSha512,
        _ => Mechanism::Plain,
    }
}
