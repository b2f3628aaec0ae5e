//! `backup`: copies of the services' files, made while they are in use.

use divisi_contract::ServiceName;

use super::command::{BackupArgs, RunArgs};
use super::run;
use crate::backends::{Backends, BoxError};
use crate::graph::Graph;
use crate::runtime;

/// Makes them, prints each with its size, and tells on standard error whose data is not among them.
pub(super) fn back_up(
    app: &'static str,
    graph: &Graph,
    backends: &dyn Backends,
    args: BackupArgs,
) -> Result<(), BoxError> {
    for name in &args.services {
        run::known(graph, name, false)?;
    }
    let is_wanted = |service: &ServiceName| {
        args.services.is_empty() || args.services.iter().any(|name| name == service.as_str())
    };
    let services = graph.services().iter().map(|service| service.name().clone());
    let services: Vec<ServiceName> = services.filter(is_wanted).collect();
    let at = RunArgs { data: args.data, config: args.config, ..RunArgs::default() };
    let config = run::config(app, graph, &at)?;
    let stores = backends.stores(app, &config)?;
    let runtime = runtime::builder().build()?;
    let done = runtime.block_on(stores.back_up(&services, &args.to));
    // A thread that reads a file which nobody wants any more must not keep the process.
    runtime.shutdown_background();
    let done = done?;
    let elsewhere: Vec<String> = done.elsewhere.iter().map(|service| format!("`{service}`")).collect();
    let on_server = format!(
        "the data of {} is on a server, which has backups of its own (as `pg_dump`); it is not copied",
        elsewhere.join(", ")
    );
    if done.copies.is_empty() {
        return Err(on_server.into());
    }
    for (copy, bytes) in &done.copies {
        println!("{} {bytes} bytes", copy.display());
    }
    if !elsewhere.is_empty() {
        eprintln!("{on_server}");
    }
    Ok(())
}
