//! Ready, alive, and why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// What the parts of a process say of themselves. Cheap to clone.
///
/// The process is *ready* when every part is: it may be sent work. It is *live* while no part is dead: a dead part
/// does not recover without a restart.
///
/// ```
/// use divisi_host::health::Health;
///
/// let health = Health::new();
/// let store = health.component("posts.store");
/// assert!(!health.report().ready, "a part that has said nothing is not ready");
/// store.ready();
/// assert!(health.report().ready);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<watch::Sender<Parts>>);

/// One part of the process; it alone speaks for itself.
///
/// A part that is dropped without a word is not ready from then on: it was lost, perhaps in a panic.
#[derive(Debug)]
pub struct Component {
    name: Arc<str>,
    health: Health,
}

/// How a part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It does its work.
    Ready,
    /// It does not work now, and will by itself or when something else comes back.
    NotReady {
        /// Why, for people.
        reason: String,
    },
    /// It does not work and will not, without a restart.
    Dead {
        /// Why, for people.
        reason: String,
    },
}

/// How the process is, at one moment: the body of `/livez` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Whether every part is ready and the process is not shutting down.
    pub ready: bool,
    /// Whether no part is dead.
    pub live: bool,
    /// Why it takes no more work although its parts are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draining: Option<String>,
    /// Each part by its name.
    pub components: BTreeMap<Arc<str>, State>,
}

#[derive(Debug, Default)]
struct Parts {
    states: BTreeMap<Arc<str>, State>,
    draining: Option<String>,
}

impl Health {
    /// A process without parts: ready, as nothing speaks against it.
    pub fn new() -> Health {
        Health::default()
    }

    /// Adds a part. It is not ready until it says so. The name is its own: a second of the same name takes its place.
    pub fn component(&self, name: impl Into<Arc<str>>) -> Component {
        let component = Component { name: name.into(), health: self.clone() };
        component.not_ready("starting");
        component
    }

    /// Says that the process takes no more work, from now on, whatever its parts say.
    pub fn drain(&self, reason: impl Into<String>) {
        self.0.send_modify(|parts| parts.draining = Some(reason.into()));
    }

    /// How the process is now.
    pub fn report(&self) -> HealthReport {
        self.0.borrow().report()
    }

    /// Waits until the process is ready.
    pub async fn ready(&self) {
        self.until(|report| report.ready).await;
    }

    /// Waits until what is reported satisfies `done`, and answers it.
    pub async fn until(&self, mut done: impl FnMut(&HealthReport) -> bool) -> HealthReport {
        let mut changes = self.0.subscribe();
        loop {
            let report = changes.borrow_and_update().report();
            if done(&report) {
                return report;
            }
            if changes.changed().await.is_err() {
                unreachable!("the sender lives in `self`");
            }
        }
    }
}

impl Component {
    /// It does its work.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// It does not work now; `reason` is for people.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(State::NotReady { reason: reason.into() });
    }

    /// It does not work and will not, without a restart.
    pub fn dead(&self, reason: impl Into<String>) {
        self.set(State::Dead { reason: reason.into() });
    }

    /// Takes the part away: it has done its work, and the process is ready without it.
    pub fn remove(self) {
        self.health.0.send_modify(|parts| {
            parts.states.remove(&self.name);
        });
    }

    fn set(&self, state: State) {
        self.health.0.send_if_modified(|parts| {
            let before = parts.states.insert(Arc::clone(&self.name), state.clone());
            before.as_ref() != Some(&state)
        });
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.health.0.send_if_modified(|parts| match parts.states.get_mut(&self.name) {
            Some(state @ State::Ready) => {
                *state = State::NotReady { reason: "it ended".to_owned() };
                true
            }
            _ => false,
        });
    }
}

impl Parts {
    fn report(&self) -> HealthReport {
        let all = |is: fn(&State) -> bool| self.states.values().all(is);
        HealthReport {
            ready: self.draining.is_none() && all(|state| *state == State::Ready),
            live: all(|state| !matches!(state, State::Dead { .. })),
            draining: self.draining.clone(),
            components: self.states.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
