//! Who may fetch which topic.

use std::collections::{BTreeMap, BTreeSet};

use divisi_contract::ServiceName;

/// Who may fetch which topic: the services that the app's graph names. Nobody, until they are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners(BTreeMap<String, BTreeSet<ServiceName>>);

impl Listeners {
    /// Nobody.
    pub fn none() -> Listeners {
        Listeners::default()
    }

    /// These and `service`, for `topic`.
    #[must_use]
    pub fn allow(mut self, topic: &str, service: impl Into<ServiceName>) -> Listeners {
        self.0.entry(topic.to_owned()).or_default().insert(service.into());
        self
    }

    /// Whether `caller` may fetch `topic`.
    pub fn allows(&self, topic: &str, caller: &ServiceName) -> bool {
        self.0.get(topic).is_some_and(|services| services.contains(caller))
    }
}
