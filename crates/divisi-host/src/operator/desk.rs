//! What one service answers, whoever has opened its databases.

mod epochs;
mod events;
mod figures;
mod lag;
mod parked;
mod projections;
mod readers;

use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_events::consumer::{Observer, Parked};
use divisi_events::projection::{ProjectionSpec, ReadModel, Rebuild, Versions};
use divisi_store::projection as rows;
use divisi_store::{Read, Store, Stores};
use serde::Serialize;
use serde_json::Value;

use super::protocol::{Question, Refused, Reply};

/// One service's answers to an operator.
pub(crate) struct Desk {
    pub(super) store: Store,
    /// The readers of its log that the app has today, each with a topic.
    listeners: Vec<(Arc<str>, &'static str)>,
    reactions: Option<Reacting>,
    pub(super) projections: Vec<Folding>,
}

/// The service's reactions.
pub(crate) struct Reacting {
    pub(crate) inputs: Vec<(ServiceName, &'static str)>,
    pub(crate) parked: Parked,
    /// None where they do not run.
    pub(crate) observer: Option<Observer>,
}

/// One of the service's projections.
pub(crate) struct Folding {
    pub(crate) spec: ProjectionSpec,
    pub(crate) inputs: Vec<(ServiceName, &'static str)>,
    pub(crate) life: Life,
}

/// How a projection is reached.
pub(crate) enum Life {
    /// It runs.
    Running { model: ReadModel, versions: Versions, rebuild: Rebuild },
    /// Its versions were opened by the command; a rebuild opens all of it.
    Opened { versions: Vec<(u32, Store)>, stores: Arc<dyn Stores> },
}

/// Something that applies events: the reactions, or a version of a projection.
struct Applying {
    consumer: Arc<str>,
    version: Option<u32>,
    inputs: Vec<(ServiceName, &'static str)>,
    store: Store,
    parked: Parked,
    observer: Option<Observer>,
}

impl Desk {
    /// The desk of a service.
    pub(crate) fn new(
        store: Store,
        listeners: Vec<(Arc<str>, &'static str)>,
        reactions: Option<Reacting>,
        projections: Vec<Folding>,
    ) -> Desk {
        Desk { store, listeners, reactions, projections }
    }

    pub(crate) fn service(&self) -> &ServiceName {
        self.store.service()
    }

    /// Answers one question.
    pub(super) async fn answer(&self, question: Question) -> Reply {
        let answered = match question {
            Question::Parked => value(self.parked().await),
            Question::Kept { at } => value(self.kept(&at).await),
            Question::Redrive { at } => value(self.redrive(&at).await),
            Question::Drop { at } => value(self.drop_parked(&at).await),
            Question::Resume { consumer } => value(self.resume(&consumer).await),
            Question::Standing => value(self.standing().await),
            Question::Unread { topic, lanes } => value(self.unread(&topic, &lanes).await),
            Question::Events { topic, key, after, limit } => {
                value(self.events(topic.as_deref(), key.as_deref(), after.as_ref(), limit).await)
            }
            Question::Projections => value(self.list_projections().await),
            Question::Rebuild { projection } => value(self.rebuild(&projection).await),
            Question::Readers => value(self.readers().await),
            Question::DropReader { reader } => value(self.drop_reader(&reader).await),
            Question::Epochs => value(self.epochs().await),
            Question::Figures => value(self.figures().await),
        };
        answered.map_or_else(Reply::Refused, Reply::Answer)
    }

    /// Everything of the service that applies events.
    async fn applying(&self) -> Result<Vec<Applying>, Refused> {
        let mut all = Vec::new();
        if let Some(reactions) = &self.reactions {
            all.push(Applying {
                consumer: self.service().as_str().into(),
                version: None,
                inputs: reactions.inputs.clone(),
                store: self.store.clone(),
                parked: reactions.parked.clone(),
                observer: reactions.observer.clone(),
            });
        }
        for folding in &self.projections {
            all.extend(self.versions(folding).await?);
        }
        Ok(all)
    }

    /// The versions of a projection: those that are kept up to date, and the one that readers see.
    async fn versions(&self, folding: &Folding) -> Result<Vec<Applying>, Refused> {
        let reader = folding.reader();
        let of = |number: u32, store: &Store, running: Option<(Observer, Parked)>| {
            let (observer, parked) = running.unzip();
            Applying {
                consumer: Arc::clone(&reader),
                version: Some(number),
                inputs: folding.inputs.clone(),
                store: store.clone(),
                parked: parked.unwrap_or_else(|| Parked::new(Arc::clone(&reader), store.clone())),
                observer,
            }
        };
        match &folding.life {
            Life::Opened { versions, .. } => {
                Ok(versions.iter().map(|(number, store)| of(*number, store, None)).collect())
            }
            Life::Running { model, versions, .. } => {
                let name = folding.spec.name;
                let row = self.store.read(async |read: &mut Read| rows::read(read, name).await).await?;
                let running = versions.running();
                let mut all: Vec<Applying> = running
                    .into_iter()
                    .map(|version| {
                        of(version.number, &version.store, Some((version.observer, version.parked)))
                    })
                    .collect();
                if let Some(row) = row.filter(|row| all.iter().all(|one| one.version != Some(row.active))) {
                    all.push(of(row.active, &model.store(), None));
                }
                all.sort_by_key(|one| one.version);
                Ok(all)
            }
        }
    }
}

impl Folding {
    /// The name under which it listens.
    pub(super) fn reader(&self) -> Arc<str> {
        format!("{}.{}", self.spec.service, self.spec.name).into()
    }
}

impl Applying {
    /// `query.posts v2`
    fn title(&self) -> String {
        match self.version {
            None => self.consumer.to_string(),
            Some(version) => format!("{} v{version}", self.consumer),
        }
    }
}

fn value<T: Serialize>(answered: Result<T, Refused>) -> Result<Value, Refused> {
    serde_json::to_value(answered?).map_err(|error| Refused::of(&error))
}
