//! Which method stands where: read from the contracts, and checked before the first request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use divisi_call::Edge;
use divisi_contract::{Contract, Method, Route, Verb};

use crate::endpoint::Endpoint;
use crate::path::Template;

/// Paths of the gateway itself.
pub(crate) const RESERVED: [&str; 3] = ["/livez", "/readyz", METRICS];
/// The path of what can be counted.
pub(crate) const METRICS: &str = "/metrics";

/// Why the contracts cannot be served side by side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteConflict {
    /// Two methods want the same verb and path; names of arguments make no difference.
    #[error("`{verb} {path}` is wanted by `{second}`, but it is `{first}`'s already")]
    Taken {
        /// The verb.
        verb: &'static str,
        /// The path, as the second one writes it.
        path: String,
        /// `contract.method` of the one that came first.
        first: String,
        /// `contract.method` of the other.
        second: String,
    },
    /// A method wants a path of the gateway itself.
    #[error("`{path}` is wanted by `{method}`, but it belongs to the gateway")]
    Reserved {
        /// The path.
        path: String,
        /// `contract.method`.
        method: String,
    },
    /// A route cannot be served.
    #[error("the route `{path}` of `{method}` cannot be served: {reason}")]
    Unserved {
        /// The path.
        path: String,
        /// `contract.method`.
        method: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The endpoints of one pattern, a verb each.
pub(crate) type Verbs = BTreeMap<Verb, Endpoint>;

/// All endpoints, by pattern.
pub(crate) fn table(edges: &[Arc<dyn Edge>]) -> Result<BTreeMap<String, Verbs>, RouteConflict> {
    let mut table: BTreeMap<String, Verbs> = BTreeMap::new();
    for edge in edges {
        let contract = edge.contract();
        for (n, method) in contract.methods.iter().enumerate() {
            for route in &method.routes {
                let endpoint = endpoint(edge, contract, n, method, route)?;
                if RESERVED.contains(&route.path.as_str()) {
                    return Err(RouteConflict::Reserved {
                        path: route.path.clone(),
                        method: endpoint.name(),
                    });
                }
                let verbs = table.entry(endpoint.template.pattern()).or_default();
                if let Some(first) = verbs.get(&route.verb) {
                    return Err(RouteConflict::Taken {
                        verb: route.verb.as_str(),
                        path: route.path.clone(),
                        first: first.name(),
                        second: endpoint.name(),
                    });
                }
                verbs.insert(route.verb, endpoint);
            }
        }
    }
    Ok(table)
}

fn endpoint(
    edge: &Arc<dyn Edge>,
    contract: &'static Contract,
    n: usize,
    method: &'static Method,
    route: &'static Route,
) -> Result<Endpoint, RouteConflict> {
    let unserved = |reason| RouteConflict::Unserved {
        path: route.path.clone(),
        method: format!("{}.{}", contract.name, method.name),
        reason,
    };
    let template = Template::parse(&route.path).map_err(unserved)?;
    let known = |name: &str| method.arguments.iter().any(|argument| argument.name == name);
    if let Some(name) = template.arguments().find(|name| !known(name)) {
        return Err(unserved(format!("the method has no argument `{name}`")));
    }
    let in_path: Vec<&str> = template.arguments().collect();
    let elsewhere: Vec<&'static str> = method
        .arguments
        .iter()
        .map(|argument| argument.name.as_str())
        .filter(|name| !in_path.contains(name))
        .collect();
    if route.verb.has_body() && elsewhere.len() > 1 {
        return Err(unserved("more than one argument would be the body".to_owned()));
    }
    let status = StatusCode::from_u16(route.status).ok().filter(StatusCode::is_success);
    let Some(status) = status else {
        return Err(unserved(format!("{} is not the status of an answer", route.status)));
    };
    let takes_body = route.verb.has_body() && !elsewhere.is_empty();
    Ok(Endpoint {
        edge: Arc::clone(edge),
        contract: &contract.name,
        method: &method.name,
        n_method: n,
        repeat: method.repeat,
        path: &route.path,
        status,
        query: if route.verb.has_body() { Vec::new() } else { elsewhere },
        takes_body,
        template,
    })
}

#[cfg(test)]
mod tests;
