//! Which services run in this process, and how the others are reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use divisi_contract::ServiceName;

use crate::graph::Graph;

/// Which services run in this process, and how the others are reached. Moving a service changes this and no code.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The services that run here.
    pub here: BTreeSet<ServiceName>,
    /// Where the HTTP edge listens, if it runs here.
    pub http: Option<SocketAddr>,
    /// Where this process listens for calls from other processes; none when nobody else calls.
    pub calls: Option<String>,
    /// Where the others are.
    pub addresses: BTreeMap<ServiceName, String>,
    /// Whether even services in this process are reached over TCP: to see that it makes no difference.
    pub over_tcp: bool,
}

/// A service that is needed here and is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{needed}` is needed by `{by}` and does not run in this process; say where it is: `services.{needed}.address` in \
     divisi.toml, or DIVISI_SERVICES__{}__ADDRESS",
    needed.as_str().to_uppercase().replace('-', "_")
)]
pub struct NoAddress {
    /// The service that is needed.
    pub needed: ServiceName,
    /// Who needs it.
    pub by: ServiceName,
}

impl Placement {
    /// Everything in one process, with the HTTP edge at `http`.
    pub fn whole(graph: &Graph, http: SocketAddr) -> Placement {
        Placement {
            here: graph.services().iter().map(|service| service.name().clone()).collect(),
            http: Some(http),
            calls: None,
            addresses: BTreeMap::new(),
            over_tcp: false,
        }
    }

    /// Looks whether everything that is needed here is here or has an address.
    pub fn check(&self, graph: &Graph) -> Result<(), NoAddress> {
        let reachable = |name: &ServiceName| self.here.contains(name) || self.addresses.contains_key(name);
        for service in graph.services().iter().filter(|service| self.here.contains(service.name())) {
            if let Some(needed) = graph.needs(service).into_iter().find(|needed| !reachable(needed)) {
                return Err(NoAddress { needed, by: service.name().clone() });
            }
        }
        if self.http.is_some() {
            let served = graph.services().iter().filter(|service| service.contracts().next().is_some());
            if let Some(needed) = served.map(|service| service.name()).find(|needed| !reachable(needed)) {
                return Err(NoAddress { needed: needed.clone(), by: crate::graph::GATEWAY.into() });
            }
        }
        Ok(())
    }
}
