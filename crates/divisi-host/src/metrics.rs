//! What can be counted of a process and of the services beside it, for whoever watches.
//!
//! A service counts for itself: its log and who is behind in it, what it applies, what it has parked. Services of this
//! process are asked directly; one that runs in another process on this machine through its operator's socket, so
//! that the edge of a split run tells of all. What is on another machine is told there.

pub(crate) mod names;
mod text;

use std::fmt;
use std::sync::Arc;

use divisi_call::Route;
use divisi_tcp::Tally;
use serde::{Deserialize, Serialize};

use crate::operator::Counting;

/// Looks at the figures. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Sources>);

/// Where figures come from.
pub(crate) struct Sources {
    /// The services.
    pub(crate) counting: Counting,
    /// The ways to all services.
    pub(crate) routes: Vec<Arc<Route>>,
    /// Calls from other processes, if any are taken.
    pub(crate) tally: Option<Tally>,
}

/// One number, with what it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// One of [`names`].
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: i64,
}

impl Figure {
    pub(crate) fn new(name: &str, labels: &[(&str, &str)], value: i64) -> Figure {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Figure { name: name.to_owned(), labels, value }
    }
}

impl Metrics {
    pub(crate) fn of(sources: Sources) -> Metrics {
        Metrics(Arc::new(sources))
    }

    /// The figures as they are now, in the text format of Prometheus.
    ///
    /// It costs a few reads a service. A service that does not answer is left out, and said to be down.
    pub async fn text(&self) -> String {
        let mut figures = self.0.counting.figures().await;
        figures.extend(self.0.of_calls());
        text::of(&figures)
    }
}

impl Sources {
    fn of_calls(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for route in &self.routes {
            let (labels, limit) = ([("service", route.service().as_str())], route.limit());
            let in_flight = i64::try_from(limit.in_flight()).unwrap_or(i64::MAX);
            figures.push(Figure::new(names::CALLS_IN_FLIGHT, &labels, in_flight));
            figures.push(Figure::new(names::CALLS_REFUSED, &labels, number(limit.refused())));
        }
        if let Some(tally) = &self.tally {
            figures.push(Figure::new(names::CALLS_SERVED, &[], number(tally.served())));
        }
        figures
    }
}

/// A count as a figure.
pub(crate) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here: Vec<&str> = self.0.counting.here.keys().map(|service| service.as_str()).collect();
        f.debug_struct("Metrics").field("here", &here).finish_non_exhaustive()
    }
}
