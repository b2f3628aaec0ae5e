//! NATS, as the configuration describes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_host::backends::{BoxError, Needs, Plan, Provisioned};
use divisi_host::config::{self, Secret};
use divisi_nats::{Credentials, Nats, Options, Rights, User, users};

/// Why nothing was provisioned.
#[derive(Debug, thiserror::Error)]
enum Unprovisioned {
    #[error(
        "`--nats` names no user; say who makes streams, as `nats://operator:PASSWORD@host:4222`: the file of users lets that user in beside those of the services. A server that has no users yet takes any"
    )]
    NoOperator,
    #[error(
        "the user in `--nats` is called as the service `{0}`; an operator has a name and a password of its own"
    )]
    IsAService(String),
}

/// The broker at `url`, as the user of `services`. It is connected to as soon as it can be reached.
pub(super) async fn carrier(
    app: &str,
    url: &str,
    said: &config::Carrier,
    services: &[ServiceName],
) -> Result<Arc<dyn Carrier>, BoxError> {
    let mut options = options(app, url, said);
    options.services = services.iter().map(ToString::to_string).collect();
    if let Some(file) = &said.credentials {
        options.credentials = Credentials::File(file.clone());
    } else if let Some(user) = &said.user {
        let password = said.password.reveal().unwrap_or_default().to_owned();
        options.credentials = Credentials::Password { user: user.clone(), password };
    }
    options.stream.create = !said.provisioned;
    Ok(Arc::new(Nats::connect(options).await?))
}

/// A stream for each topic, and a user for each service.
pub(super) async fn provision(plan: &Plan) -> Result<Provisioned, BoxError> {
    let url = plan.server.reveal().unwrap_or_default();
    let options = options(&plan.app, url, &plan.config.carrier);
    let Credentials::Password { user: operator, password } = &options.credentials else {
        return Err(Unprovisioned::NoOperator.into());
    };
    if let Some(service) = plan.services.iter().find(|needs| needs.service.as_str() == operator) {
        return Err(Unprovisioned::IsAService(service.service.to_string()).into());
    }
    let topics: BTreeSet<&str> =
        plan.services.iter().flat_map(|needs| needs.announces.iter().copied()).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    let mut provisioned = Provisioned::default();
    if plan.dry_run {
        for line in divisi_nats::provisioning(&options, &topics)?.lines() {
            provisioned.text.push_str(&format!("# {line}\n"));
        }
    } else {
        for (stream, made) in divisi_nats::provision(options.clone(), &topics).await? {
            let there = if made { "made" } else { "was there" };
            provisioned.done.push(format!("stream `{stream}` {there}"));
        }
    }
    let mut rights = Vec::new();
    for needs in &plan.services {
        rights.push(self::rights(&options, needs)?);
    }
    let shown = |password| Some(password).filter(|_| !plan.dry_run);
    let own = User { name: operator, password: shown(password.as_str()), rights: None };
    let services = plan.services.iter().zip(&rights).map(|(needs, rights)| User {
        name: needs.service.as_str(),
        password: needs.password.reveal().and_then(shown),
        rights: Some(rights),
    });
    let earlier = plan.file.as_ref().map_or("", |(_, earlier)| earlier);
    let list = users(&[own].into_iter().chain(services).collect::<Vec<_>>(), earlier)?;
    provisioned.text.push_str(&format!("{}{list}", head(plan)));
    if let Some((file, earlier)) = &plan.file {
        let file = file.display();
        provisioned.done.push(match *earlier == provisioned.text {
            true => format!("users of {}: as they were in {file}", plan.app),
            false => {
                format!("users of {}: in {file}, for the server to read when it is told to reload", plan.app)
            }
        });
        provisioned.settings = settings(plan, &options);
    }
    Ok(provisioned)
}

fn rights(options: &Options, needs: &Needs) -> Result<Rights, BoxError> {
    let (announces, hears) = (needs.announces.iter().copied(), needs.hears.iter().copied());
    Ok(Rights::of(options, needs.service.as_str(), announces, hears)?)
}

/// What leads the services there, each as its own user.
fn settings(plan: &Plan, options: &Options) -> Vec<(String, Secret)> {
    let mut settings = vec![("carrier.url".to_owned(), Secret::new(options.servers.join(",")))];
    for Needs { service, password, .. } in &plan.services {
        settings.push((format!("services.{service}.carrier_user"), Secret::new(service.as_str())));
        settings.push((format!("services.{service}.carrier_password"), password.clone()));
    }
    settings
}

/// Says what the file is and how the server reads it.
fn head(plan: &Plan) -> String {
    let app = &plan.app;
    let name = plan.file.as_ref().and_then(|(file, _)| file.file_name());
    let name = name.map_or("FILE".into(), |name| name.to_string_lossy());
    format!(
        "# Users of `{app}`, made by `{app} provision --nats`. The server's own file, beside this one, includes them:\n\
         # authorization {{ include \"{name}\" }}\n"
    )
}

/// How the server at `url` is reached. Who says so in the address is a user.
fn options(app: &str, url: &str, said: &config::Carrier) -> Options {
    let mut options = Options::new(app, url.split(','));
    options.tls.required = said.tls;
    options.tls.roots.clone_from(&said.root_certificates);
    if said.replicas > 0 {
        options.stream.replicas = said.replicas;
    }
    options.with_user_of_address()
}
