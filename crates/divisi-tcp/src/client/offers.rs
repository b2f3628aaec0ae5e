//! What the server serves, found by name.

use divisi_call::Call;
use divisi_contract::{CallError, CauseKind};

use crate::handshake::Offer;

/// The server's list, sorted for looking up; the numbers are places in the list as it came.
#[derive(Debug)]
pub(super) struct Offers(Vec<(Offer, u16)>);

impl Offers {
    pub(super) fn new(offers: Vec<Offer>) -> Offers {
        let mut rows: Vec<_> = offers.into_iter().zip(0..=u16::MAX).collect();
        let place = |offer: &Offer| (offer.service.clone(), offer.contract.clone(), offer.version);
        rows.sort_by_cached_key(|(offer, _)| place(offer));
        Offers(rows)
    }

    /// The numbers of a method, or why the server cannot run it.
    pub(super) fn find(&self, service: &str, call: &Call) -> Result<(u16, u16), CallError<bytes::Bytes>> {
        let found = self.0.binary_search_by(|(offer, _)| {
            let place = (offer.service.as_str(), offer.contract.as_str(), offer.version);
            place.cmp(&(service, call.contract, call.version))
        });
        let (offer, contract) = match found {
            Ok(at) => &self.0[at],
            Err(_) => return Err(refuse(self.absent(service, call))),
        };
        match offer.methods.iter().zip(0..=u16::MAX).find(|(method, _)| *method == call.method) {
            Some((_, method)) => Ok((*contract, method)),
            None => Err(refuse(format!(
                "`{service}` serves the contract `{}` without a method `{}`; is it an older version?",
                call.contract, call.method
            ))),
        }
    }

    fn absent(&self, service: &str, call: &Call) -> String {
        let served = || self.0.iter().map(|(offer, _)| offer).filter(|offer| offer.service == service);
        let versions: Vec<_> = served()
            .filter(|offer| offer.contract == call.contract)
            .map(|offer| offer.version.to_string())
            .collect();
        if !versions.is_empty() {
            let word = if versions.len() == 1 { "version" } else { "versions" };
            return format!(
                "`{service}` serves {word} {} of the contract `{}`, this caller knows version {}",
                versions.join(" and "),
                call.contract,
                call.version
            );
        }
        if served().next().is_some() {
            return format!("`{service}` does not serve the contract `{}`", call.contract);
        }
        let mut services: Vec<_> = self.0.iter().map(|(offer, _)| format!("`{}`", offer.service)).collect();
        services.dedup();
        let there = if services.is_empty() { "nothing".to_owned() } else { services.join(", ") };
        format!("there is no service `{service}` at this address, it serves {there}")
    }
}

fn refuse(text: String) -> CallError<bytes::Bytes> {
    CallError::not_run(CauseKind::NoSuchMethod, text)
}
