//! The whole app as a graph: who owns which topic, who serves which contract, who listens to whom.
//!
//! Every process of an app knows all of it, whatever runs there: so a log knows its listeners, and a client the
//! service behind a contract.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use divisi_contract::ServiceName;
use divisi_events::handler::Handlers;

use crate::service::Service;

/// The name of the HTTP edge, beside the services.
pub const GATEWAY: &str = "gateway";

/// The services of an app, found to fit together.
#[derive(Debug)]
pub struct Graph {
    services: Vec<Service>,
    owners: BTreeMap<&'static str, ServiceName>,
    servers: BTreeMap<String, ServiceName>,
}

/// Everything that does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct GraphErrors(pub Vec<String>);

impl Graph {
    /// Looks whether `services` fit together; brings all mistakes at once.
    pub fn new(services: Vec<Service>) -> Result<Graph, GraphErrors> {
        let mut mistakes = Vec::new();
        let mut names = BTreeSet::new();
        let mut owners: BTreeMap<&'static str, ServiceName> = BTreeMap::new();
        let mut servers: BTreeMap<String, ServiceName> = BTreeMap::new();
        for service in &services {
            let name = service.name();
            if !is_name(name.as_str()) {
                mistakes.push(format!(
                    "`{name}` is no name of a service: it needs lower case letters, digits and dashes"
                ));
            }
            if name.as_str() == GATEWAY {
                mistakes
                    .push(format!("`{GATEWAY}` is the HTTP edge's name; call the service something else"));
            }
            if !names.insert(name.clone()) {
                mistakes.push(format!("two services are called `{name}`"));
            }
            let mut projections = BTreeSet::new();
            for projection in &service.projections {
                let own = projection.name;
                if !is_name(own) {
                    mistakes.push(format!(
                        "`{own}` is no name of a projection of `{name}`: it needs lower case letters, digits and dashes"
                    ));
                }
                if !projections.insert(own) {
                    mistakes.push(format!("two projections of `{name}` are called `{own}`"));
                }
            }
            for topic in service.topics() {
                if let Some(other) = owners.insert(topic, name.clone()) {
                    mistakes.push(format!(
                        "the topic `{topic}` is owned by `{other}` and by `{name}`; a topic has one owner"
                    ));
                }
            }
            for contract in service.contracts() {
                if let Some(other) = servers.insert(contract.name.clone(), name.clone()) {
                    let contract = &contract.name;
                    mistakes
                        .push(format!("the contract `{contract}` is served by `{other}` and by `{name}`"));
                }
            }
        }
        for service in &services {
            let name = service.name();
            for (reader, topic) in service.listens() {
                if !owners.contains_key(topic) {
                    mistakes.push(format!(
                        "`{reader}` listens to the topic `{topic}`, which no service owns; say `.emits::<…>()` where it is announced"
                    ));
                }
            }
            let folds = service.projections.iter().map(|projection| &projection.handlers);
            let all: Vec<&Handlers> = folds.chain([&service.reactions]).collect();
            for event in all.iter().flat_map(|handlers| handlers.handled_twice()) {
                mistakes.push(format!("`{name}` has two handlers of `{event}`; only one of them would run"));
            }
            for (topic, event) in all.into_iter().flat_map(Handlers::events) {
                let announced = |owner: &&Service| {
                    owner.events().iter().any(|known| known.topic == topic && known.name == event)
                };
                let owner = services.iter().find(|owner| owner.topics().contains(&topic));
                if let Some(owner) = owner.filter(|owner| !announced(owner)) {
                    mistakes.push(format!(
                        "`{name}` listens to `{event}` of the topic `{topic}`, which `{}` does not announce; say `.emits::<{event}>()` there",
                        owner.name()
                    ));
                }
            }
            for contract in &service.calls {
                if !servers.contains_key(&contract.name) {
                    mistakes.push(format!(
                        "`{name}` calls the contract `{}`, which no service serves",
                        contract.name
                    ));
                }
            }
        }
        if mistakes.is_empty() { Ok(Graph { services, owners, servers }) } else { Err(GraphErrors(mistakes)) }
    }

    /// The services, in the order in which the app names them.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service called `name`.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name().as_str() == name)
    }

    /// Who owns `topic`.
    pub fn owner(&self, topic: &str) -> Option<&ServiceName> {
        self.owners.get(topic)
    }

    /// Who serves `contract`.
    pub fn server(&self, contract: &str) -> Option<&ServiceName> {
        self.servers.get(contract)
    }

    /// The contracts, with who serves each.
    pub fn servers(&self) -> impl Iterator<Item = (&str, &ServiceName)> {
        self.servers.iter().map(|(contract, service)| (contract.as_str(), service))
    }

    /// The readers of a service's topics: reader's name, the service that it belongs to, topic.
    pub fn readers_of(&self, owner: &Service) -> Vec<(std::sync::Arc<str>, ServiceName, &'static str)> {
        let mut readers = Vec::new();
        for service in &self.services {
            for (reader, topic) in service.listens() {
                if owner.topics().contains(&topic) {
                    readers.push((reader, service.name().clone(), topic));
                }
            }
        }
        readers
    }

    /// The readers of a service's topics, each with a topic.
    pub(crate) fn listeners(&self, owner: &Service) -> Vec<(std::sync::Arc<str>, &'static str)> {
        self.readers_of(owner).into_iter().map(|(reader, _, topic)| (reader, topic)).collect()
    }

    /// The topics, each with its owner before it.
    pub(crate) fn inputs(
        &self,
        topics: impl Iterator<Item = &'static str>,
    ) -> Vec<(ServiceName, &'static str)> {
        topics.filter_map(|topic| Some((self.owner(topic)?.clone(), topic))).collect()
    }

    /// Whether `name`, as `query.posts`, is a projection of one of the services.
    pub fn is_projection(&self, name: &str) -> bool {
        name.split_once('.').is_some_and(|(service, projection)| {
            self.service(service)
                .is_some_and(|service| service.projections.iter().any(|own| own.name == projection))
        })
    }

    /// The services that `service` needs to reach: those that it calls and those that it listens to.
    pub fn needs(&self, service: &Service) -> BTreeSet<ServiceName> {
        let called = service.calls.iter().filter_map(|contract| self.server(&contract.name));
        let heard = service.listens().into_iter().filter_map(|(_, topic)| self.owner(topic));
        called.chain(heard).filter(|other| *other != service.name()).cloned().collect()
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(plain) && name.as_bytes()[0].is_ascii_lowercase()
}

/// The graph for people: a line a promise.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, service) in self.services.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", service.name())?;
            for contract in service.contracts() {
                let methods: Vec<&str> = contract.methods.iter().map(|method| method.name.as_str()).collect();
                writeln!(f, "  serves   {} v{} ({})", contract.name, contract.version, methods.join(", "))?;
                for method in &contract.methods {
                    for route in &method.routes {
                        writeln!(f, "  route    {} {} -> {}", route.verb.as_str(), route.path, method.name)?;
                    }
                }
            }
            for event in service.events() {
                writeln!(
                    f,
                    "  emits    {} v{} in topic {}, by {}",
                    event.name, event.version, event.topic, event.key
                )?;
            }
            for contract in &service.calls {
                let server = self.server(&contract.name).map_or("nobody", ServiceName::as_str);
                writeln!(f, "  calls    {} of {server}", contract.name)?;
            }
            for (reader, topic) in service.listens() {
                let owner = self.owner(topic).map_or("nobody", ServiceName::as_str);
                writeln!(f, "  listens  {topic} of {owner}, as {reader}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for GraphErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the services do not fit together")?;
        for mistake in &self.0 {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
