//! `run`: everything in this process, one service alone, or each in a process of its own.

mod here;
mod split;

use std::sync::Arc;

use super::command::RunArgs;
use crate::backends::{Backends, BoxError};
use crate::config::{Config, ConfigError};
use crate::edge::EdgeServer;
use crate::graph::{GATEWAY, Graph};
use crate::runtime;
use crate::service::Service;
use crate::supervisor::supervised::Supervised;
use crate::telemetry;

/// There is no service of that name.
#[derive(Debug, thiserror::Error)]
#[error("there is no service `{name}`; there are {known}")]
struct NoSuchService {
    name: String,
    known: String,
}

/// There is no projection of that name.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no projection `{0}`; a projection is named by its service and its own name, as `query.posts`"
)]
struct NoSuchProjection(String);

/// Does what `args` say, until it is told to stop.
pub(super) fn run(
    app: &'static str,
    graph: Graph,
    backends: &dyn Backends,
    edge: Option<Arc<dyn EdgeServer>>,
    args: RunArgs,
    supervised: Option<&Supervised>,
) -> Result<(), BoxError> {
    if let Some(name) = &args.service
        && !(name == GATEWAY && edge.is_some())
    {
        known(&graph, name, edge.is_some())?;
    }
    if let Some(unknown) = args.rebuild.iter().find(|name| !graph.is_projection(name)) {
        return Err(NoSuchProjection(unknown.clone()).into());
    }
    let config = config(app, &graph, &args)?;
    telemetry::init(app, config.log.format, &config.log.filter)?;
    let runtime = runtime::builder().build()?;
    let outcome = if args.split {
        runtime.block_on(split::run(app, &graph, edge.is_some(), &config, &args))
    } else {
        let setting = here::Setting { app, config: &config, args: &args, supervised };
        runtime.block_on(here::run(setting, graph, backends, edge))
    };
    // Everything has been stopped in order; a blocking thread that hangs must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// The service of that name; or which there are, the gateway among them where it may be named too.
pub(super) fn known<'g>(graph: &'g Graph, name: &str, gateway: bool) -> Result<&'g Service, BoxError> {
    graph.service(name).ok_or_else(|| {
        let mut known: Vec<String> =
            graph.services().iter().map(|service| format!("`{}`", service.name())).collect();
        known.extend(gateway.then(|| format!("`{GATEWAY}`")));
        NoSuchService { name: name.to_owned(), known: known.join(", ") }.into()
    })
}

/// The configuration, with what the command line says on top of it.
pub(super) fn config(app: &str, graph: &Graph, args: &RunArgs) -> Result<Config, ConfigError> {
    let names: Vec<&str> = graph.services().iter().map(|service: &Service| service.name().as_str()).collect();
    let mut config = Config::load(app, &names, args.config.as_deref())?;
    if let Some(listen) = args.listen {
        config.set_listen(listen, "--listen");
    }
    if let Some(data) = &args.data {
        config.set_data(data.clone(), "--data");
    }
    Ok(config)
}
