//! Runs services in this process, until it is told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_events::Carrier;

use crate::app::command::RunArgs;
use crate::backends::{Backends, BoxError};
use crate::config::{Carrier as Broker, Config, Tcp};
use crate::edge::EdgeServer;
use crate::graph::{GATEWAY, Graph};
use crate::health::Health;
use crate::host::{self, Setup, Started};
use crate::placement::Placement;
use crate::shutdown::{Reason, Shutdown, Signals};
use crate::supervisor::supervised::Supervised;
use crate::task::Tasks;

/// A task failed without which the process cannot go on, or something did not stop in time.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Ended(String);

/// What was said on the command line, in the configuration, and by a supervisor.
pub(super) struct Setting<'a> {
    pub(super) app: &'a str,
    pub(super) config: &'a Config,
    pub(super) args: &'a RunArgs,
    pub(super) supervised: Option<&'a Supervised>,
}

pub(super) async fn run(
    setting: Setting<'_>,
    graph: Graph,
    backends: &dyn Backends,
    edge: Option<Arc<dyn EdgeServer>>,
) -> Result<(), BoxError> {
    let Setting { app, config, args, supervised } = setting;
    let shutdown = Shutdown::new();
    let _signals = Signals::watch(&shutdown)?;
    let (tasks, health) = (Tasks::new(shutdown.clone()), Health::new());
    let placement = placement(&graph, config, args, edge.is_some());
    let setup = Setup {
        stores: backends.stores(app, config)?,
        carriers: carriers(backends, app, config, &placement).await?,
        edge: edge.filter(|_| placement.http.is_some()),
        supervised: supervised.is_some(),
        operator: Some(config.data.clone()),
        rebuild: args.rebuild.clone(),
        tcp: tcp_limits(&config.tcp),
        body_bytes_max: config.gateway.body_bytes_max,
        request_time: config.gateway.request_within,
        placement,
    };
    let here = setup.placement.clone();
    let started = tokio::select! {
        biased;
        started = host::start(&graph, setup, &tasks, &health) => started,
        reason = shutdown.requested() => Err(host::StartError::Interrupted(reason.to_string())),
    };
    let started = match started {
        Ok(started) => started,
        Err(error) => {
            tasks.stop(config.shutdown_within).await;
            return Err(error.into());
        }
    };
    match supervised {
        Some(supervised) => supervised.ready(started.http.or(started.calls)),
        None => announce(app, config, &here, &started),
    }
    let reason = shutdown.requested().await;
    health.drain(reason.to_string());
    tasks.stop(config.shutdown_within).await;
    match reason {
        Reason::TaskFailed { .. } => Err(Ended(reason.to_string()).into()),
        _ => Ok(()),
    }
}

/// The broker as each service here meets it: one connection for all that are the same user.
async fn carriers(
    backends: &dyn Backends,
    app: &str,
    config: &Config,
    placement: &Placement,
) -> Result<BTreeMap<ServiceName, Arc<dyn Carrier>>, BoxError> {
    let mut users: Vec<(Broker, Vec<ServiceName>)> = Vec::new();
    for service in &placement.here {
        let broker = config.carrier_of(service.as_str());
        match users.iter_mut().find(|(known, _)| *known == broker) {
            Some((_, services)) => services.push(service.clone()),
            None => users.push((broker, vec![service.clone()])),
        }
    }
    let mut carriers = BTreeMap::new();
    for (broker, services) in users {
        if let Some(carrier) = backends.carrier(app, &broker, &services).await? {
            carriers.extend(services.into_iter().map(|service| (service, Arc::clone(&carrier))));
        }
    }
    Ok(carriers)
}

fn placement(graph: &Graph, config: &Config, args: &RunArgs, has_edge: bool) -> Placement {
    let mut placement = Placement::whole(graph, config.listen);
    placement.over_tcp = args.over_tcp;
    if !has_edge {
        placement.http = None;
    }
    let Some(one) = &args.service else { return placement };
    placement.addresses = config
        .services
        .iter()
        .filter(|(name, _)| *name != one)
        .filter_map(|(name, service)| Some((ServiceName::from(name.as_str()), service.address.clone()?)))
        .collect();
    placement.here.retain(|name| name.as_str() == one);
    if one != GATEWAY {
        placement.http = None;
        let own = config.services.get(one);
        let listen =
            own.and_then(|own| own.listen.map(|listen| listen.to_string()).or_else(|| own.address.clone()));
        placement.calls = Some(listen.unwrap_or_else(|| "127.0.0.1:0".to_owned()));
    }
    placement
}

fn tcp_limits(tcp: &Tcp) -> divisi_tcp::Limits {
    divisi_tcp::Limits {
        frame_max: tcp.frame_bytes_max,
        calls_in_flight_max: tcp.calls_in_flight_max,
        write_buffer_max: tcp.write_buffer_bytes_max,
        connections_max: tcp.connections_max,
        idle_max: tcp.idle_within,
        connect_within: tcp.connect_within,
        ..divisi_tcp::Limits::default()
    }
}

/// Says on standard output what runs where, once everything serves.
fn announce(app: &str, config: &Config, placement: &Placement, started: &Started) {
    let here: Vec<&str> = placement.here.iter().map(ServiceName::as_str).collect();
    let mut lines = Vec::new();
    if !here.is_empty() {
        lines.push(format!("{app}: {} in this process (pid {})", here.join(", "), std::process::id()));
        let data = || config.data.display().to_string();
        lines.push(format!("  data   {}", config.store.shown().unwrap_or_else(data)));
        lines.extend(
            config.carrier.shown().map(|carrier| format!("  events over {carrier}, and from the logs")),
        );
    }
    if let Some(calls) = started.calls {
        lines.push(format!("  calls  {calls}"));
    }
    if let Some(http) = started.http {
        lines.push(format!("  http   http://{http}"));
    }
    println!("{}", lines.join("\n"));
}
