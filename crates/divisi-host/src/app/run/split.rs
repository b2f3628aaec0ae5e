//! Every service in a process of its own, on this machine, under this one.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use super::BoxError;
use crate::app::command::RunArgs;
use crate::config::Config;
use crate::graph::{GATEWAY, Graph};
use crate::health::Health;
use crate::host::StartError;
use crate::shutdown::{Shutdown, Signals};
use crate::supervisor::backoff::Backoff;
use crate::supervisor::ports::Reserved;
use crate::supervisor::{Process, Settings, Supervisor};
use crate::telemetry::Format;

pub(super) async fn run(
    app: &str,
    graph: &Graph,
    has_edge: bool,
    config: &Config,
    args: &RunArgs,
) -> Result<(), BoxError> {
    let shutdown = Shutdown::new();
    let _signals = Signals::watch(&shutdown)?;
    let http = Reserved::at(config.listen).await.map_err(|source| StartError::Listen {
        address: config.listen.to_string(),
        what: "HTTP",
        source,
    })?;
    let mut ports = Vec::new();
    for service in graph.services() {
        ports.push((service.name().as_str().to_owned(), Reserved::new()?));
    }
    let mut processes = Vec::new();
    let names = ports.iter().map(|(name, _)| name.as_str()).chain(has_edge.then_some(GATEWAY));
    for name in names {
        processes.push(process(name, &http, &ports, config, args)?);
    }
    let health = Health::new();
    let settings = Settings {
        prefixed: config.log.format != Format::Json,
        // What has worked for a second did not die of its start.
        backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5), Duration::from_secs(1)),
    };
    let supervisor = Supervisor::start(processes, &settings, &health)?;
    let started = tokio::select! {
        biased;
        _ = shutdown.requested() => Ok(()),
        () = health.ready() => Ok(()),
        why = supervisor.not_started() => Err(why),
    };
    if started.is_ok() && shutdown.reason().is_none() {
        announce(app, config, &http, &ports, has_edge);
        shutdown.requested().await;
    }
    supervisor.stop(config.shutdown_within).await;
    Ok(started?)
}

/// The process of one service, which is told where the others are.
fn process(
    name: &str,
    http: &Reserved,
    ports: &[(String, Reserved)],
    config: &Config,
    args: &RunArgs,
) -> io::Result<Process> {
    let mut arguments: Vec<OsString> = vec!["run".into(), name.into()];
    arguments.extend(["--listen".into(), http.address().to_string().into()]);
    arguments.extend(["--data".into(), config.data.clone().into_os_string()]);
    let own = |projection: &&String| projection.split('.').next() == Some(name);
    for projection in args.rebuild.iter().filter(own) {
        arguments.extend(["--rebuild".into(), projection.into()]);
    }
    if let Some(file) = &args.config {
        arguments.extend(["--config".into(), file.clone().into_os_string()]);
    }
    let mut process = Process::of_this_program(name, arguments)?;
    for (other, port) in ports {
        let section = format!("DIVISI_SERVICES__{}", other.to_uppercase().replace('-', "_"));
        process = process.with_variable(format!("{section}__ADDRESS"), port.address().to_string());
        process = process.with_variable(format!("{section}__LISTEN"), port.address().to_string());
    }
    Ok(process)
}

/// Says on standard output what runs where, once everything serves.
fn announce(app: &str, config: &Config, http: &Reserved, ports: &[(String, Reserved)], has_edge: bool) {
    println!("{app}: each service in a process of its own, under pid {}", std::process::id());
    println!("  data   {}", config.data.display());
    for (name, port) in ports {
        println!("  {name:<10} {}", port.address());
    }
    if has_edge {
        println!("  http   http://{}", http.address());
    }
}
