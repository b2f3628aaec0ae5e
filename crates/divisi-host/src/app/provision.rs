//! `provision`: what the services need on a server, made from the graph.

mod passwords;

use std::error::Error;

use super::command::{ProvisionArgs, RunArgs};
use super::run;
use crate::backends::{Backends, Needs, Plan};
use crate::config::Secret;
use crate::graph::Graph;

/// Makes it, tells on standard error what was done, and prints what is to be pasted: so standard output is the
/// beginning of a `divisi.toml`.
pub(super) fn provision(
    app: &'static str,
    graph: &Graph,
    backends: &dyn Backends,
    args: &ProvisionArgs,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let config = run::config(app, graph, &RunArgs { config: args.config.clone(), ..RunArgs::default() })?;
    let names = || graph.services().iter().map(|service| service.name().clone());
    let passwords = match args.dry_run {
        true => passwords::none(names()),
        false => passwords::of(names(), args.password_file.as_deref())?,
    };
    let plan = Plan {
        server: Secret::new(args.postgres.as_deref().unwrap_or_default()),
        dry_run: args.dry_run,
        config,
        services: passwords.into_iter().map(|(service, password)| Needs { service, password }).collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let provisioned = runtime.block_on(backends.provision(&plan))?;
    for line in &provisioned.done {
        eprintln!("{line}");
    }
    print!("{}", provisioned.text);
    for (key, value) in &provisioned.settings {
        println!("{key} = {}", toml::Value::String(value.reveal().unwrap_or_default().to_owned()));
    }
    Ok(())
}
