//! Which service is where. Moving a service changes a route, not code.

use std::fmt;
use std::sync::{Arc, OnceLock};

use divisi_contract::{CallError, CauseKind, ServiceName};

use crate::caller::Caller;
use crate::dispatch::Served;
use crate::limit::Limit;

/// Where a service is.
#[derive(Clone)]
pub enum Place {
    /// In this process; it serves these contracts.
    Local(Vec<Served>),
    /// Elsewhere; this carries calls to it.
    Remote(Arc<dyn Caller>),
}

/// The way to one service, shared by all clients of it in this process.
///
/// It is made before the service is, so that services may know each other in a circle, and set once.
pub struct Route {
    service: ServiceName,
    place: OnceLock<Place>,
    limit: Limit,
}

impl Route {
    /// A way to `service`, which does not lead anywhere yet.
    pub fn new(service: impl Into<ServiceName>) -> Arc<Route> {
        Route::with_limit(service, Limit::default())
    }

    /// The same with a limit of its own on calls in flight.
    pub fn with_limit(service: impl Into<ServiceName>, limit: Limit) -> Arc<Route> {
        Arc::new(Route { service: service.into(), place: OnceLock::new(), limit })
    }

    /// The service it leads to.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The bound on calls in flight.
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Says where the service is. The first word counts; `false` when it had been said already.
    pub fn lead_to(&self, place: Place) -> bool {
        self.place.set(place).is_ok()
    }

    /// Where the service is; an error that nothing ran while that is not known yet.
    pub fn place<R>(&self) -> Result<&Place, CallError<R>> {
        self.place.get().ok_or_else(|| {
            CallError::not_run(CauseKind::Unreachable, format!("`{}` has not been started yet", self.service))
        })
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place.get() {
            None => "nowhere yet",
            Some(Place::Local(_)) => "local",
            Some(Place::Remote(_)) => "remote",
        };
        f.debug_struct("Route").field("service", &self.service).field("place", &place).finish_non_exhaustive()
    }
}
