//! `provision`: what the services need on a server, made from the graph.

mod file;
mod passwords;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use super::command::{ProvisionArgs, RunArgs};
use super::run;
use crate::backends::{Backends, Engine, Needs, Plan, Provisioned};
use crate::config::Secret;
use crate::graph::Graph;

/// What the server is to be told has no place.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot read {}, where something of the last time may be", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("cannot write {}", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
}

/// Makes it, tells on standard error what was done, and prints what is to be pasted: so standard output is the
/// beginning of a `divisi.toml`.
pub(super) fn provision(
    app: &'static str,
    graph: &Graph,
    backends: &dyn Backends,
    args: &ProvisionArgs,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let config = run::config(app, graph, &RunArgs { config: args.config.clone(), ..RunArgs::default() })?;
    let earlier = args.out.as_deref().map(earlier).transpose()?;
    let names = || graph.services().iter().map(|service| service.name().clone());
    let passwords = match args.dry_run {
        true => passwords::none(names()),
        false => passwords::of(names(), args.password_file.as_deref())?,
    };
    let mut passwords: BTreeMap<_, _> = passwords.into_iter().collect();
    let needs = graph.services().iter().map(|service| Needs {
        service: service.name().clone(),
        password: passwords.remove(service.name()).unwrap_or_default(),
        announces: service.topics().iter().copied().collect(),
        hears: service.listens().into_iter().map(|(_, topic)| topic).collect(),
    });
    let (engine, server) = server(args);
    let plan = Plan {
        app: app.to_owned(),
        engine,
        server: Secret::new(server),
        dry_run: args.dry_run,
        file: args.out.clone().zip(earlier),
        config,
        services: needs.collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let provisioned = runtime.block_on(backends.provision(&plan));
    // A client that still tries to reach a server must not keep the process.
    runtime.shutdown_background();
    let Provisioned { done, text, settings } = provisioned?;
    match &plan.file {
        Some((file, earlier)) if *earlier != text => {
            file::replace(file, &text).map_err(|source| FileError::Unwritable(file.clone(), source))?;
        }
        Some(_) => {}
        None => print!("{text}"),
    }
    for line in &done {
        eprintln!("{line}");
    }
    for (key, value) in &settings {
        println!("{key} = {}", toml::Value::String(value.reveal().unwrap_or_default().to_owned()));
    }
    Ok(())
}

/// What kind of server it is and where; one of them is given, the command line has looked.
fn server(args: &ProvisionArgs) -> (Engine, &str) {
    match (&args.postgres, &args.nats, &args.kafka) {
        (Some(url), ..) => (Engine::Postgres, url),
        (_, Some(url), _) => (Engine::Nats, url),
        (.., url) => (Engine::Kafka, url.as_deref().unwrap_or_default()),
    }
}

fn earlier(file: &Path) -> Result<String, FileError> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|source| FileError::Unreadable(file.to_owned(), source)),
    }
}
