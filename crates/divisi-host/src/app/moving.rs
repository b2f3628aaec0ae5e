//! `move`: a service's files go to a database on a server, or come back.

use std::error::Error;

use divisi_store::Schema;

use super::command::{MoveArgs, RunArgs};
use super::run;
use crate::backends::{Backends, Folded, Move, Moving};
use crate::config::{Config, Secret};
use crate::graph::Graph;
use crate::host;
use crate::runtime;

/// Nobody has said where to.
#[derive(Debug, thiserror::Error)]
#[error("where is `{service}` to go? `--to` says it, or `services.{service}.store` in the configuration")]
struct Whereto {
    service: String,
}

/// Does it, tells on standard error what was done, and prints what is to be pasted: the line of `divisi.toml` that leads
/// there, if none does.
pub(super) fn move_service(
    app: &'static str,
    graph: &Graph,
    backends: &dyn Backends,
    args: MoveArgs,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let service = run::known(graph, &args.service, false)?;
    let at = RunArgs { data: args.data, config: args.config, ..RunArgs::default() };
    let config = run::config(app, graph, &at)?;
    let is_configured = args.to.is_none();
    let to = args.to.map(Secret::new).or_else(|| configured(&config, &args.service));
    let to = to.ok_or(Whereto { service: args.service })?;
    let folded = |projection: &crate::service::Projection| {
        let migrations = projection.migrations.clone();
        let schema = Schema { migrations, ..Schema::default() };
        Folded { name: projection.name, shape: projection.shape, schema }
    };
    let moving = Moving {
        service: service.name().clone(),
        to,
        what: match (args.back, args.dry_run) {
            (true, _) => Move::Back,
            (false, true) => Move::Rehearsal,
            (false, false) => Move::There,
        },
        config,
        schema: host::schema(graph, service),
        projections: service.projections.iter().map(folded).collect(),
    };
    let runtime = runtime::builder().build()?;
    let moved = runtime.block_on(backends.move_store(&moving));
    // A thread that reads a file which nobody wants any more must not keep the process.
    runtime.shutdown_background();
    let moved = moved?;
    for line in &moved.done {
        eprintln!("{line}");
    }
    for (key, value) in moved.settings.iter().filter(|_| !is_configured) {
        println!("{key} = {}", toml::Value::String(value.reveal().unwrap_or_default().to_owned()));
    }
    Ok(())
}

/// Where the configuration has a service's database, if not in a file.
fn configured(config: &Config, service: &str) -> Option<Secret> {
    let own = config.services.get(service).map(|service| &service.store);
    own.into_iter().chain([&config.store.url]).find(|url| url.reveal().is_some()).cloned()
}
