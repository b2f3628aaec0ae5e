//! What a service is: its name, its tables, what it promises, what it listens to. A description, nothing runs yet.

use std::fmt;
use std::sync::Arc;

use divisi_call::{Client, Edge, Route, Served, Serves};
use divisi_contract::{Contract, Event, EventSpec, KeptAnswers, ServiceName};
use divisi_events::handler::{Fold, Handler, Handlers};
use divisi_store::{Isolation, Migration, Tx};

use crate::parts::Parts;

/// A service: a unit that owns data and keeps promises.
///
/// It is described once, by the service's own crate, and runs in any placement.
pub struct Service {
    pub(crate) name: ServiceName,
    pub(crate) migrations: Vec<Migration>,
    pub(crate) isolation: Isolation,
    pub(crate) events: Vec<EventSpec>,
    pub(crate) topics: Vec<&'static str>,
    pub(crate) calls: Vec<&'static Contract>,
    pub(crate) serves: Vec<Promise>,
    pub(crate) reactions: Handlers,
    pub(crate) projections: Vec<Projection>,
}

/// A read model of a service: folded from events, may be deleted and rebuilt.
pub struct Projection {
    pub(crate) name: &'static str,
    pub(crate) shape: u32,
    pub(crate) migrations: Vec<Migration>,
    pub(crate) handlers: Handlers,
}

/// One contract that a service serves, and how it is made when the service starts.
pub(crate) struct Promise {
    pub(crate) contract: &'static Contract,
    pub(crate) serve: Box<dyn Fn(&Parts) -> Served + Send + Sync>,
    pub(crate) edge: fn(ServiceName, Arc<Route>) -> Arc<dyn Edge>,
}

impl Service {
    /// A service called `name`: short, lower case; it names its database, its log and its section of the
    /// configuration.
    pub fn new(name: &str) -> Service {
        Service {
            name: name.into(),
            migrations: Vec::new(),
            isolation: Isolation::default(),
            events: Vec::new(),
            topics: Vec::new(),
            calls: Vec::new(),
            serves: Vec::new(),
            reactions: Handlers::new(),
            projections: Vec::new(),
        }
    }

    /// Its tables, one numbered migration after the other.
    #[must_use]
    pub fn migrations(mut self, migrations: impl IntoIterator<Item = Migration>) -> Service {
        self.migrations.extend(migrations);
        self
    }

    /// Its transactions, those of calls and of handlers, are kept apart so strictly, on PostgreSQL; on SQLite they always are. The stricter,
    /// the more of them end as ones that did not run and may be tried again. Its events get their positions some milliseconds behind COMMIT, so
    /// [`Store::transact_at`](divisi_store::Store::transact_at) does not bring them; of one key they are in the order of transactions that change
    /// a row in common. To go from one to another all processes of the service end first.
    ///
    /// ```
    /// use divisi_host::Service;
    /// use divisi_store::Isolation;
    ///
    /// let _bank = Service::new("bank").isolation(Isolation::Serializable);
    /// ```
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Service {
        self.isolation = isolation;
        self
    }

    /// It announces `E`, and so owns the topic of `E`.
    #[must_use]
    pub fn emits<E: Event>(mut self) -> Service {
        if !self.topics.contains(&E::TOPIC) {
            self.topics.push(E::TOPIC);
        }
        self.events.push(E::spec());
        self
    }

    /// It calls the contract of the client `C`, whoever serves it.
    #[must_use]
    pub fn calls<C: Client>(mut self) -> Service {
        self.calls.push(C::contract());
        self
    }

    /// It serves the contract of the client `C` with what `build` makes from its [`Parts`] at start.
    #[must_use]
    pub fn serves<C, S>(mut self, build: impl Fn(&Parts) -> S + Send + Sync + 'static) -> Service
    where
        C: Serves<S> + Edge,
        S: Send + Sync + 'static,
    {
        let serve = move |parts: &Parts| {
            let answers: Option<Arc<dyn KeptAnswers>> = Some(Arc::new(parts.store()));
            C::served(Arc::new(build(parts)), answers)
        };
        self.serves.push(Promise {
            contract: <C as Client>::contract(),
            serve: Box::new(serve),
            edge: |caller, route| Arc::new(C::over(caller, route)),
        });
        self
    }

    /// It reacts to each `E` by `handler`, in a transaction on its own store: exactly once, in order per key.
    #[must_use]
    pub fn on<E, H>(mut self, handler: H) -> Service
    where
        E: Event,
        H: for<'a> Handler<'a, Tx, E>,
    {
        self.reactions = self.reactions.react::<E, H>(handler);
        self
    }

    /// It keeps a read model.
    #[must_use]
    pub fn projection(mut self, projection: Projection) -> Service {
        self.projections.push(projection);
        self
    }

    /// Its name.
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    /// The topics that it owns.
    pub fn topics(&self) -> &[&'static str] {
        &self.topics
    }

    /// The events that it announces.
    pub fn events(&self) -> &[EventSpec] {
        &self.events
    }

    /// The contracts that it serves.
    pub fn contracts(&self) -> impl Iterator<Item = &'static Contract> {
        self.serves.iter().map(|promise| promise.contract)
    }

    /// The readers that it is, each with a topic: `comments` for its reactions, `query.posts` for a projection.
    pub fn listens(&self) -> Vec<(Arc<str>, &'static str)> {
        let reactions = self.reactions.topics().map(|topic| (Arc::from(self.name.as_str()), topic));
        let folds = self.projections.iter().flat_map(|projection| {
            let reader: Arc<str> = format!("{}.{}", self.name, projection.name).into();
            projection.handlers.topics().map(move |topic| (Arc::clone(&reader), topic))
        });
        reactions.chain(folds).collect()
    }
}

impl Projection {
    /// A read model called `name`. Raise `shape` when its tables or handlers change: it is then built anew beside the
    /// old one, from the whole history, and takes its place when it has caught up.
    pub fn new(name: &'static str, shape: u32) -> Projection {
        Projection { name, shape, migrations: Vec::new(), handlers: Handlers::new() }
    }

    /// Its tables; `divisi` keeps its watermarks beside them.
    #[must_use]
    pub fn migrations(mut self, migrations: impl IntoIterator<Item = Migration>) -> Projection {
        self.migrations.extend(migrations);
        self
    }

    /// It folds each `E` in by `handler`.
    #[must_use]
    pub fn on<E, H>(mut self, handler: H) -> Projection
    where
        E: Event,
        H: for<'a> Handler<'a, Fold<'a>, E>,
    {
        self.handlers = self.handlers.fold::<E, H>(handler);
        self
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("topics", &self.topics)
            .field("listens", &self.listens())
            .finish_non_exhaustive()
    }
}
