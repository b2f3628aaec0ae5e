//! What there is, and what an operator may have meant.

use crate::graph::Graph;
use crate::service::Service;

/// There is nothing of that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{name}`{}; there {} {}", meant(.nearest), are(.known), list(.known))]
pub(super) struct Unknown {
    what: &'static str,
    name: String,
    nearest: Option<String>,
    known: Vec<String>,
}

/// The service called `name`.
pub(super) fn service<'g>(graph: &'g Graph, name: &str) -> Result<&'g Service, Unknown> {
    let known = || graph.services().iter().map(|service| service.name().as_str().to_owned()).collect();
    graph.service(name).ok_or_else(|| unknown("service", name, known()))
}

/// The service of the consumer called `name`: `comments` for reactions, `query.posts` for a projection.
pub(super) fn consumer<'g>(graph: &'g Graph, name: &str) -> Result<&'g Service, Unknown> {
    let own = |service: &&Service| service.listens().iter().any(|(reader, _)| **reader == *name);
    graph.services().iter().find(own).ok_or_else(|| {
        let mut known: Vec<String> = graph
            .services()
            .iter()
            .flat_map(Service::listens)
            .map(|(reader, _)| reader.to_string())
            .collect();
        known.dedup();
        unknown("consumer", name, known)
    })
}

/// The service of the projection called `name`, as `query.posts`.
pub(super) fn projection<'g>(graph: &'g Graph, name: &str) -> Result<&'g Service, Unknown> {
    let of = |service: &Service| -> Vec<String> {
        let names = service.projections.iter().map(|projection| projection.name);
        names.map(|projection| format!("{}.{projection}", service.name())).collect()
    };
    let own = |service: &&Service| of(service).iter().any(|own| own == name);
    graph
        .services()
        .iter()
        .find(own)
        .ok_or_else(|| unknown("projection", name, graph.services().iter().flat_map(of).collect()))
}

/// A topic of `service`.
pub(super) fn topic(service: &Service, name: &str) -> Result<&'static str, Unknown> {
    let known = || service.topics().iter().map(|topic| (*topic).to_owned()).collect();
    let found = service.topics().iter().find(|topic| **topic == name).copied();
    found.ok_or_else(|| unknown("topic", name, known()))
}

/// An error that says what there is, and which of it is nearest.
pub(super) fn unknown(what: &'static str, name: &str, known: Vec<String>) -> Unknown {
    let near = |known: &&String| strsim::damerau_levenshtein(name, known) <= (known.len() / 3).max(1);
    let part = |known: &&String| known.split('.').any(|part| part == name);
    let nearest = known
        .iter()
        .filter(near)
        .min_by_key(|known| strsim::damerau_levenshtein(name, known))
        .or_else(|| known.iter().find(part))
        .cloned();
    Unknown { what, name: name.to_owned(), nearest, known }
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!(" (did you mean `{nearest}`?)")).unwrap_or_default()
}

fn are(known: &[String]) -> &'static str {
    if known.len() == 1 { "is" } else { "are" }
}

fn list(known: &[String]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
