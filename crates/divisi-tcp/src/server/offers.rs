//! What a server serves, found by the numbers that requests carry.

use std::fmt;
use std::sync::Arc;

use divisi_call::{Dispatch, Served};
use divisi_contract::{Contract, ServiceName};

use crate::handshake::Offer;

/// Every contract of every service of a server, in the order of the Welcome.
pub(super) struct Offers(Vec<Row>);

struct Row {
    service: ServiceName,
    contract: &'static Contract,
    dispatch: Arc<dyn Dispatch>,
}

impl Offers {
    pub(super) fn new(services: Vec<(ServiceName, Vec<Served>)>) -> Offers {
        let rows = services.into_iter().flat_map(|(service, served)| {
            served.into_iter().map(move |served| Row {
                service: service.clone(),
                contract: served.contract(),
                dispatch: Arc::clone(served.dispatch()),
            })
        });
        // More than a request can name is no program that anybody writes; what is beyond is not offered.
        Offers(rows.take(usize::from(u16::MAX)).collect())
    }

    /// The list for the Welcome.
    pub(super) fn list(&self) -> Vec<Offer> {
        let offer = |row: &Row| Offer {
            service: row.service.as_str().to_owned(),
            contract: row.contract.name.clone(),
            version: row.contract.version,
            methods: row.contract.methods.iter().map(|method| method.name.clone()).collect(),
        };
        self.0.iter().map(offer).collect()
    }

    /// The method with these numbers, with the names of its contract and itself; `None` when there is none.
    pub(super) fn find(
        &self,
        contract: u16,
        method: u16,
    ) -> Option<(&Arc<dyn Dispatch>, &'static str, &'static str)> {
        let row = self.0.get(usize::from(contract))?;
        let method = row.contract.methods.get(usize::from(method))?;
        Some((&row.dispatch, &row.contract.name, &method.name))
    }
}

impl fmt::Debug for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|row| (&row.service, &row.contract.name))).finish()
    }
}
