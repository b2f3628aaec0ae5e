//! What a service is made from when it starts: its store, its read models, clients of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use divisi_call::{Client, Edge, Route};
use divisi_contract::{Contract, ServiceName};
use divisi_events::projection::ReadModel;
use divisi_store::Store;

/// What a service is made from. It knows neither addresses nor files.
pub struct Parts {
    pub(crate) service: ServiceName,
    /// The contracts that the service's description says it calls.
    pub(crate) calls: Vec<&'static Contract>,
    pub(crate) store: Store,
    pub(crate) read_models: BTreeMap<&'static str, ReadModel>,
    pub(crate) routes: Arc<Routes>,
}

/// The way to every service of the app, by service and by contract.
pub(crate) struct Routes {
    pub(crate) by_service: BTreeMap<ServiceName, Arc<Route>>,
    pub(crate) by_contract: BTreeMap<String, Arc<Route>>,
}

impl Parts {
    /// The service's own database.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// A client of the service that serves the contract of `C`. Where that service runs makes no difference.
    ///
    /// # Panics
    ///
    /// If the service's description does not say that it calls the contract, or no service of the app serves it: the
    /// description is wrong, and says so at the start. What is not described would work in one process and not in many.
    pub fn client<C: Client>(&self) -> C {
        match self.routes.described(&self.service, &self.calls, &C::contract().name) {
            Ok(route) => C::over(self.service.clone(), Arc::clone(route)),
            Err(mistake) => panic!("{mistake}"),
        }
    }

    /// The read model called `name` of this service.
    ///
    /// # Panics
    ///
    /// If the service's description has no such projection.
    pub fn read_model(&self, name: &str) -> ReadModel {
        let Some(model) = self.read_models.get(name) else {
            panic!(
                "`{}` asks for its projection `{name}`, which its description does not have",
                self.service
            );
        };
        model.clone()
    }
}

impl Routes {
    /// The way to who serves `contract`, for a service whose description says that it calls these.
    fn described(
        &self,
        service: &ServiceName,
        calls: &[&'static Contract],
        contract: &str,
    ) -> Result<&Arc<Route>, String> {
        let asks = format!("`{service}` asks for a client of the contract `{contract}`, which");
        let Some(route) = self.by_contract.get(contract) else {
            return Err(format!("{asks} no service of this app serves"));
        };
        if !calls.iter().any(|known| known.name == contract) {
            return Err(format!(
                "{asks} its description does not say that it calls; add `.calls::<…>()` there"
            ));
        }
        Ok(route)
    }

    /// The contracts of the app, reachable from text, in the name of `caller`.
    pub(crate) fn edge(
        &self,
        caller: &ServiceName,
        contract: &str,
        make: fn(ServiceName, Arc<Route>) -> Arc<dyn Edge>,
    ) -> Option<Arc<dyn Edge>> {
        self.by_contract.get(contract).map(|route| make(caller.clone(), Arc::clone(route)))
    }
}

#[cfg(test)]
mod tests;
