//! Wires the services of a placement and starts them: stores, logs, routes, servers, consumers, the edge, in this order.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use divisi_call::{Client, Place, Route, Served, Serves};
use divisi_contract::ServiceName;
use divisi_contract::error::Chain;
use divisi_contract::event::LANES;
use divisi_events::Carrier;
use divisi_events::consumer::{Consumer, LeasedLanes};
use divisi_events::event_log::EventLogClient;
use divisi_events::fetch::Feed;
use divisi_events::log_feed::{Listeners, Log, LogOptions};
use divisi_events::projection::{Input, Projection, ProjectionError, ProjectionSpec, Rebuild};
use divisi_events::relay::{Granted, Lease, Leased, Relay};
use divisi_store::{Lane, OpenError, Schema, Store, StoreName, Stores};
use divisi_tcp::Tally;
use tracing::{error, warn};

use crate::edge::{EdgeServer, EdgeSetup};
use crate::graph::{GATEWAY, Graph};
use crate::health::{Component, Health};
use crate::metrics::{Metrics, Sources};
use crate::operator::{self, Counting, Desk, Folding, Life, Reacting};
use crate::parts::{Parts, Routes};
use crate::placement::{NoAddress, Placement};
use crate::service::Service;
use crate::shutdown::Stage;
use crate::supervisor::ports;
use crate::task::{Failure, Task, Tasks};
use crate::tidy;

/// What a host needs beside the app's own graph.
pub struct Setup {
    /// Who runs here, and where the others are.
    pub placement: Placement,
    /// Opens databases.
    pub stores: Arc<dyn Stores>,
    /// The broker that spreads events, if there is one, as each service here meets it.
    pub carriers: BTreeMap<ServiceName, Arc<dyn Carrier>>,
    /// The HTTP edge, if the app has one.
    pub edge: Option<Arc<dyn EdgeServer>>,
    /// Whether a supervisor has reserved the addresses of this process.
    pub supervised: bool,
    /// The directory where an operator's commands are taken, if they are: that of the databases.
    pub operator: Option<PathBuf>,
    /// Projections to build anew, as `query.posts`; one of a service that runs elsewhere is its own process's matter.
    pub rebuild: Vec<String>,
    /// The bounds of calls over TCP.
    pub tcp: divisi_tcp::Limits,
    /// The largest body of an HTTP request, in bytes.
    pub body_bytes_max: usize,
    /// How long an HTTP request may take.
    pub request_time: Duration,
}

/// What was started.
#[derive(Debug, Clone, Default)]
pub struct Started {
    /// Where the HTTP edge listens.
    pub http: Option<SocketAddr>,
    /// Where calls from other processes are taken.
    pub calls: Option<SocketAddr>,
    /// The way to ask for a rebuild, by projection: `query.posts`.
    pub rebuilds: BTreeMap<Arc<str>, Rebuild>,
    /// The stores that were opened, by service.
    pub stores: BTreeMap<ServiceName, Store>,
}

/// Why a host could not start. What had been started is stopped by the caller's [`Tasks::stop`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A service that is needed has no address.
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    /// A database could not be opened.
    #[error("cannot open the database of `{service}`")]
    Store {
        /// Whose.
        service: ServiceName,
        /// Why.
        source: OpenError,
    },
    /// A projection could not be opened.
    #[error("cannot open a projection of `{service}`")]
    Projection {
        /// Whose.
        service: ServiceName,
        /// Why.
        source: Box<ProjectionError>,
    },
    /// An address could not be taken.
    #[error("cannot listen on {address} for {what}")]
    Listen {
        /// The address.
        address: String,
        /// For what: HTTP, or calls.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It was told to stop before it had started.
    #[error("stopped before it had started: {0}")]
    Interrupted(String),
    /// The contracts cannot be served over HTTP.
    #[error("the contracts cannot be served over HTTP: {0}")]
    Edge(String),
}

/// One service that runs here, opened and not yet started.
struct Opened<'g> {
    service: &'g Service,
    store: Store,
    log: Arc<Log>,
    projections: Vec<Projection>,
}

/// Starts what `setup` places here, as tasks of `tasks`. When it returns, everything serves.
pub async fn start(
    graph: &Graph,
    setup: Setup,
    tasks: &Tasks,
    health: &Health,
) -> Result<Started, StartError> {
    setup.placement.check(graph)?;
    let http = bind_http(&setup)?;
    let routes = Arc::new(routes(graph));
    let mut opened = Vec::new();
    for service in graph.services().iter().filter(|service| setup.placement.here.contains(service.name())) {
        opened.push(open(graph, service, &setup, tasks).await?);
    }
    let mut started = Started::default();
    let served: Vec<_> =
        opened.iter().map(|opened| (opened.service.name().clone(), served(opened, &routes))).collect();
    let tally;
    (started.calls, tally) = lead_routes(&setup, &routes, served, tasks, health).await?;
    let mut desks = BTreeMap::new();
    for opened in opened {
        let carrier = setup.carriers.get(opened.service.name());
        let desk = Arc::new(listen(graph, opened, (&routes, carrier), tasks, health, &mut started));
        if let Some(data) = &setup.operator {
            hear_operator(data, Arc::clone(&desk), tasks);
        }
        desks.insert(desk.service().clone(), desk);
    }
    for name in &setup.rebuild {
        if let Some(rebuild) = started.rebuilds.get(name.as_str()) {
            rebuild.ask();
        }
    }
    if let Some(listener) = http {
        started.http = listener.local_addr().ok();
        let here = |name: &ServiceName| setup.placement.here.contains(name);
        let metrics = Metrics::of(Sources {
            counting: Counting {
                here: desks,
                others: graph
                    .services()
                    .iter()
                    .map(|it| it.name())
                    .filter(|name| !here(name))
                    .cloned()
                    .collect(),
                data: setup.operator.clone(),
            },
            routes: routes.by_service.values().cloned().collect(),
            tally,
        });
        serve_http(graph, &setup, listener, &routes, tasks, (health, metrics))?;
    }
    Ok(started)
}

fn bind_http(setup: &Setup) -> Result<Option<tokio::net::TcpListener>, StartError> {
    let Some(address) = setup.placement.http.filter(|_| setup.edge.is_some()) else { return Ok(None) };
    // Before anything else is touched: a taken port is the most common mistake.
    let listener = ports::listen(address, setup.supervised);
    listener.map(Some).map_err(|source| StartError::Listen {
        address: address.to_string(),
        what: "HTTP",
        source,
    })
}

fn routes(graph: &Graph) -> Routes {
    let by_service: BTreeMap<ServiceName, Arc<Route>> =
        graph.services().iter().map(|service| (service.name().clone(), Route::new(service.name()))).collect();
    let by_contract = graph
        .servers()
        .filter_map(|(contract, service)| Some((contract.to_owned(), Arc::clone(by_service.get(service)?))))
        .collect();
    Routes { by_service, by_contract }
}

async fn open<'g>(
    graph: &Graph,
    service: &'g Service,
    setup: &Setup,
    tasks: &Tasks,
) -> Result<Opened<'g>, StartError> {
    let name = service.name();
    let stores = &setup.stores;
    let mut schema = schema(graph, service);
    let carrier = setup.carriers.get(name);
    if let Some(carrier) = carrier {
        // Registered like every other reader, so that the log keeps what has not been published.
        let relay: Arc<str> = Relay::reader_name(carrier.name()).into();
        schema.readers.extend(service.topics.iter().map(|topic| (Arc::clone(&relay), *topic)));
    }
    let store = stores
        .open(&StoreName::of(name), &schema)
        .await
        .map_err(|source| StartError::Store { service: name.clone(), source })?;
    let closing = store.clone();
    tasks.at_stop(Task::new(name.as_str(), "store", Stage::Stores), async move {
        closing.close().await;
        Ok::<_, io::Error>(())
    });
    let tidied = store.clone();
    let task = Task::new(name.as_str(), "tidy", Stage::Consumers);
    tasks.spawn(task, Failure::IsLogged, |stopping| tidy::run(tidied, stopping));
    let mut listeners = Listeners::none();
    for (_, listener, topic) in graph.readers_of(service) {
        listeners = listeners.allow(topic, listener);
    }
    let log = Log::new(store.clone(), listeners, LogOptions::default());
    let keeping = Arc::clone(&log);
    let task = Task::new(name.as_str(), "progress", Stage::Consumers);
    tasks.spawn(task, Failure::IsLogged, |_| async move {
        // It ends when the log is closed.
        keeping.run().await;
        Ok::<_, io::Error>(())
    });
    let closing = Arc::clone(&log);
    tasks.at_stop(Task::new(name.as_str(), "log", Stage::Accept), async move {
        closing.close();
        Ok::<_, io::Error>(())
    });
    if let Some(carrier) = carrier {
        for topic in &service.topics {
            relay(topic, &store, &log, carrier, tasks);
        }
    }
    let mut projections = Vec::new();
    for projection in &service.projections {
        let opened = Projection::open(spec(service, projection), Arc::clone(stores), store.clone()).await;
        projections.push(
            opened
                .map_err(|source| StartError::Projection { service: name.clone(), source: source.into() })?,
        );
    }
    Ok(Opened { service, store, log, projections })
}

/// Starts to publish a topic's events on the carrier.
fn relay(topic: &'static str, store: &Store, log: &Arc<Log>, carrier: &Arc<dyn Carrier>, tasks: &Tasks) {
    let lease: Arc<dyn Lease> = match store.backend().lease_owner() {
        None => Arc::new(Granted::new(store.clone())),
        Some(owner) => Arc::new(Leased::new(store.clone(), owner)),
    };
    let feed: Arc<dyn Feed> = Arc::clone(log) as _;
    let relay = Relay::new(store.clone(), topic, (0..LANES).map(Lane), feed, Arc::clone(carrier), lease);
    let task = Task::new(store.service().as_str(), format!("relay {topic}"), Stage::Consumers);
    tasks.spawn(task, Failure::IsLogged, |stopping| async move {
        relay.run(stopping.requested()).await;
        Ok::<_, io::Error>(())
    });
}

/// The tables, topics and readers of a service's store.
pub(crate) fn schema(graph: &Graph, service: &Service) -> Schema {
    Schema {
        migrations: service.migrations.clone(),
        as_found: false,
        topics: service.topics.clone(),
        readers: graph.listeners(service),
        isolation: service.isolation,
    }
}

/// One of a service's projections, as it runs.
pub(crate) fn spec(service: &Service, projection: &crate::service::Projection) -> ProjectionSpec {
    ProjectionSpec {
        service: service.name().clone(),
        name: projection.name,
        shape: projection.shape,
        migrations: projection.migrations.clone(),
        handlers: projection.handlers.clone(),
    }
}

/// What a service serves: its contracts, and its log.
fn served(opened: &Opened<'_>, routes: &Arc<Routes>) -> Vec<Served> {
    let read_models = opened
        .service
        .projections
        .iter()
        .zip(&opened.projections)
        .map(|(spec, open)| (spec.name, open.read_model()));
    let parts = Parts {
        service: opened.service.name().clone(),
        calls: opened.service.calls.clone(),
        store: opened.store.clone(),
        read_models: read_models.collect(),
        routes: Arc::clone(routes),
    };
    let own = opened.service.serves.iter().map(|promise| (promise.serve)(&parts));
    own.chain([EventLogClient::served(Arc::clone(&opened.log), None)]).collect()
}

/// Says where every service is, and takes calls from other processes if there are any.
async fn lead_routes(
    setup: &Setup,
    routes: &Routes,
    served: Vec<(ServiceName, Vec<Served>)>,
    tasks: &Tasks,
    health: &Health,
) -> Result<(Option<SocketAddr>, Option<Tally>), StartError> {
    let placement = &setup.placement;
    let wanted = placement.calls.clone().or_else(|| placement.over_tcp.then(|| "127.0.0.1:0".to_owned()));
    let (mut calls, mut tally) = (None, None);
    if let Some(address) = wanted {
        let listener = match address.parse() {
            Ok(address) => ports::listen(address, setup.supervised),
            Err(_) => tokio::net::TcpListener::bind(&address).await,
        };
        let listener = listener.map_err(|source| StartError::Listen { address, what: "calls", source })?;
        let server = divisi_tcp::Server::on(listener, served.clone(), setup.tcp.clone());
        calls = server.local_addr().ok();
        tally = Some(server.tally());
        let component = health.component("calls");
        component.ready();
        tasks.spawn(Task::new("host", "calls", Stage::Calls), Failure::StopsProcess, |stopping| async move {
            let _component = component;
            server.serve(async move { stopping.requested().await }).await;
            Ok::<_, io::Error>(())
        });
    }
    let client = |address: String| -> Arc<dyn divisi_call::Caller> {
        let options = divisi_tcp::ClientOptions {
            name: placement.here.iter().map(ServiceName::as_str).collect::<Vec<_>>().join("+"),
            bulk: is_history,
            limits: setup.tcp.clone(),
        };
        Arc::new(divisi_tcp::Client::new(address, options))
    };
    let here: BTreeMap<ServiceName, Vec<Served>> = served.into_iter().collect();
    let this_process = calls.filter(|_| placement.over_tcp).map(|address| client(address.to_string()));
    for (name, route) in &routes.by_service {
        let place = match (here.get(name), placement.addresses.get(name), &this_process) {
            (Some(_), _, Some(caller)) => Place::Remote(Arc::clone(caller)),
            (Some(served), _, None) => Place::Local(served.clone()),
            (None, Some(address), _) => Place::Remote(client(address.clone())),
            // Nobody here needs it: `Placement::check` has looked.
            (None, None, _) => continue,
        };
        route.lead_to(place);
    }
    Ok((calls, tally))
}

/// Whether a contract moves history, and so goes over the second connection.
fn is_history(contract: &str) -> bool {
    contract == EventLogClient::contract().name
}

/// Starts what listens: reactions and projections. What an operator may ask about them comes back.
fn listen(
    graph: &Graph,
    opened: Opened<'_>,
    (routes, carrier): (&Routes, Option<&Arc<dyn Carrier>>),
    tasks: &Tasks,
    health: &Health,
    started: &mut Started,
) -> Desk {
    let Opened { service, store, projections, .. } = opened;
    let name = service.name();
    let inputs = |topics: Vec<&'static str>| -> Vec<Input> {
        let input = |topic: &'static str| {
            let source = graph.owner(topic)?;
            let route = routes.by_service.get(source)?;
            let feed: Arc<dyn Feed> = Arc::new(EventLogClient::over(name.clone(), Arc::clone(route)));
            Some(Input { source: source.clone(), topic, feed, carrier: carrier.cloned() })
        };
        topics.into_iter().filter_map(input).collect()
    };
    started.stores.insert(name.clone(), store.clone());
    let reactions = inputs(service.reactions.topics().collect());
    let (mut reacting, mut folding) = (None, Vec::new());
    if !reactions.is_empty() {
        let mut consumer = Consumer::new(name.as_str(), store.clone(), service.reactions.clone());
        // Projections see to it themselves.
        if let Some(owner) = store.backend().lease_owner() {
            consumer = consumer.share(Arc::new(LeasedLanes::new(store.clone(), owner)));
        }
        for input in reactions {
            consumer = consumer.from(input.source, input.topic, input.feed);
            if let Some(carrier) = input.carrier {
                consumer = consumer.via(carrier);
            }
        }
        reacting = Some(Reacting {
            inputs: graph.inputs(service.reactions.topics()),
            parked: consumer.parked(),
            observer: Some(consumer.observe()),
        });
        let component = health.component(format!("{name}.reactions"));
        component.ready();
        let observer = consumer.observe();
        let task = Task::new(name.as_str(), "reactions", Stage::Consumers);
        tasks.spawn(task, Failure::StopsProcess, |stopping| async move {
            let works = consumer.run(async move { stopping.requested().await });
            saying(&component, observer.ended(), works).await;
            Ok::<_, io::Error>(())
        });
    }
    for (spec, projection) in service.projections.iter().zip(projections) {
        let inputs = inputs(spec.handlers.topics().collect());
        started.rebuilds.insert(projection.reader(), projection.rebuild());
        folding.push(Folding {
            spec: self::spec(service, spec),
            inputs: graph.inputs(spec.handlers.topics()),
            life: Life::Running {
                model: projection.read_model(),
                versions: projection.versions(),
                rebuild: projection.rebuild(),
            },
        });
        let component = health.component(projection.reader());
        component.ready();
        let task = Task::new(name.as_str(), spec.name, Stage::Consumers);
        tasks.spawn(task, Failure::StopsProcess, |stopping| async move {
            let versions = projection.versions();
            let works = projection.run(inputs, async move { stopping.requested().await });
            let ended = saying(&component, versions.ended(), works).await;
            if let Err(error) = &ended {
                error!("a projection cannot go on: {error}");
                component.dead(error.to_string());
            }
            ended
        });
    }
    Desk::new(store, graph.listeners(service), reacting, folding)
}

/// Takes an operator's commands to one service. It works without: then they wait until it is stopped.
fn hear_operator(data: &Path, desk: Arc<Desk>, tasks: &Tasks) {
    let name = desk.service().clone();
    match operator::listen(data, name.as_str()) {
        Ok(listening) => {
            let task = Task::new(name.as_str(), "operator", Stage::Accept);
            tasks.spawn(task, Failure::IsLogged, |stopping| operator::serve(listening, desk, stopping));
        }
        Err(error) => {
            let why = Chain(&error).to_string();
            warn!(service.name = %name, "`{name}` takes no operator's commands while it runs: {why}");
        }
    }
}

/// Works, and says in health when some of the work has ended for good: the rest goes on, and only a restart helps.
async fn saying<T>(
    component: &Component,
    ended: impl Future<Output = String>,
    works: impl Future<Output = T>,
) -> T {
    let mut works = std::pin::pin!(works);
    tokio::select! {
        biased;
        done = &mut works => return done,
        why = ended => component.dead(why),
    }
    works.await
}

fn serve_http(
    graph: &Graph,
    setup: &Setup,
    listener: tokio::net::TcpListener,
    routes: &Routes,
    tasks: &Tasks,
    (health, metrics): (&Health, Metrics),
) -> Result<(), StartError> {
    let Some(edge) = &setup.edge else { return Ok(()) };
    let caller = ServiceName::from(GATEWAY);
    let promises = graph.services().iter().flat_map(|service| &service.serves);
    let edges =
        promises.filter_map(|promise| routes.edge(&caller, &promise.contract.name, promise.edge)).collect();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = edge
        .serve(EdgeSetup {
            edges,
            listener,
            health: health.clone(),
            metrics,
            body_bytes_max: setup.body_bytes_max,
            request_time: setup.request_time,
            // A sender that is gone says the same as a word.
            stopping: Box::pin(async move { drop(stopped.await) }),
        })
        .map_err(StartError::Edge)?;
    let component = health.component(GATEWAY);
    component.ready();
    tasks.spawn(Task::new(GATEWAY, "http", Stage::Edge), Failure::StopsProcess, |stopping| async move {
        let _component = component;
        let mut serving = serving;
        tokio::select! {
            ended = &mut serving => ended,
            () = stopping.requested() => {
                drop(stop);
                serving.await
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests;
