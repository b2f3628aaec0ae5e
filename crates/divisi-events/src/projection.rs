//! Events folded into a read model, which may be deleted and rebuilt while it is read.
//!
//! A projection has a store of its own: its tables and its watermarks, a file or a schema a version, so that SQL
//! never names one. A rebuild folds the whole history into the next version beside the one that serves, lets it catch
//! up with what happens meanwhile, and then readers get the new one: never an empty one, never an older one. Which
//! version is which is a row in the service's own store, so a rebuild that was killed goes on where it was, and all instances of
//! the service follow it.

mod control;
mod following;
mod measure;
mod reading;
mod rebuild;
mod removing;
mod running;

use std::sync::{Arc, PoisonError, RwLock};

use divisi_contract::ServiceName;
use divisi_store::projection::ProjectionRow;
use divisi_store::{Migration, OpenError, Read, Schema, Store, StoreError, StoreName, Stores};
pub use rebuild::{BEHIND_MAX, FLIP_AGAIN, FLIP_TIME, HISTORY_BATCH_EVENTS};
pub use running::{Version, Versions};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::control::Change;
use self::reading::Reading;
use self::running::Running;
use crate::carrier::Carrier;
use crate::fetch::Feed;
use crate::handler::Handlers;

/// What a projection is: its name, its shape, its tables, its handlers.
#[derive(Debug, Clone)]
pub struct ProjectionSpec {
    /// The service that it belongs to.
    pub service: ServiceName,
    /// Its name within the service.
    pub name: &'static str,
    /// Raised when tables or handlers change; another shape than the stored one is built anew at start.
    pub shape: u32,
    /// Its tables.
    pub migrations: Vec<Migration>,
    /// What it folds.
    pub handlers: Handlers,
}

/// A topic that a projection listens to.
#[derive(Clone)]
pub struct Input {
    /// The service that owns the topic.
    pub source: ServiceName,
    /// The topic.
    pub topic: &'static str,
    /// Who answers for its log.
    pub feed: Arc<dyn Feed>,
    /// The broker that brings it too, if there is one.
    pub carrier: Option<Arc<dyn Carrier>>,
}

/// A read model as its service reads it: always the version that is active. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadModel {
    active: Arc<RwLock<Store>>,
}

/// A projection that is open. [`Projection::run`] keeps it up to date.
pub struct Projection {
    spec: ProjectionSpec,
    stores: Arc<dyn Stores>,
    control: Store,
    model: ReadModel,
    row: ProjectionRow,
    /// The version that is read here, and its shape: the row may have gone on.
    reads: (u32, u32),
    rebuilds: mpsc::Receiver<()>,
    rebuild: mpsc::Sender<()>,
    /// The version that is being built here.
    building: Option<(u32, Store)>,
    /// The version that was read here before, still open for who has begun to read it.
    previous: Option<(u32, Store)>,
    /// The consumer of the version that readers see, and of the one that is being built, while they run.
    active: Option<Running>,
    new: Option<Running>,
    flips_refused: u32,
    /// The version that this instance lets take over at this moment.
    flips: Option<u32>,
    /// When a version that could not be opened is opened again.
    open_again_at: Option<Instant>,
    /// Since when the version that is read stands still for another instance that does.
    still_since: Option<Instant>,
    /// Why a new version is to be built as soon as nothing is in its way.
    wanted: Option<Wanted>,
    /// Says to other instances which version is read here, while it is open.
    reading: Option<Reading>,
    versions: Versions,
}

/// Why a new version is to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Somebody asked for it.
    Asked,
    /// One of the program's shape is needed, or was being built: if another instance builds it, that will do.
    Shape,
}

/// Asks a running projection for a rebuild.
#[derive(Debug, Clone)]
pub struct Rebuild(mpsc::Sender<()>);

/// Why a projection stopped or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// A version's store could not be opened.
    #[error("cannot open version {version} of projection `{name}`")]
    Open {
        /// The projection.
        name: String,
        /// The version.
        version: u32,
        /// Why.
        source: OpenError,
    },
    /// The store of a version that nobody needs could not be removed. A projection that runs tries it again.
    #[error("cannot remove version {version} of projection `{name}`")]
    Remove {
        /// The projection.
        name: String,
        /// The version.
        version: u32,
        /// Why.
        source: OpenError,
    },
    /// The row that says which version is active could not be read or written.
    #[error("cannot look after the versions of projection `{name}`")]
    Control {
        /// The projection.
        name: String,
        /// Why.
        source: StoreError,
    },
    /// The consumer of a version stopped by itself; the log says why.
    #[error("the consumer of projection `{name}` stopped by itself")]
    Stopped {
        /// The projection.
        name: String,
    },
}

impl ReadModel {
    /// Reads a snapshot of the active version: several queries see the same state.
    pub async fn read<T, E, F>(&self, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Read) -> Result<T, E>,
        E: From<StoreError>,
    {
        self.store().read(body).await
    }

    /// The store of the active version.
    pub fn store(&self) -> Store {
        self.active.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn switch(&self, to: Store) -> Store {
        std::mem::replace(&mut *self.active.write().unwrap_or_else(PoisonError::into_inner), to)
    }
}

impl Rebuild {
    /// Asks for a rebuild; `false` when one has been asked for already, or the projection is not running.
    pub fn ask(&self) -> bool {
        self.0.try_send(()).is_ok()
    }
}

impl Projection {
    /// Opens the version that readers see, and the one that is being built if a rebuild was going on. `control` is the
    /// service's own store.
    pub async fn open(
        spec: ProjectionSpec,
        stores: Arc<dyn Stores>,
        control: Store,
    ) -> Result<Projection, ProjectionError> {
        let opens =
            Change::Open { shape: spec.shape, reader: spec.reader(), owner: control.backend().lease_owner() };
        let row = control::change(&control, spec.name, &opens).await?;
        let reading = Reading::start(&control, spec.reader(), row.active);
        let active = open_version(&spec, &stores, (row.active, row.shape)).await?;
        let (rebuild, rebuilds) = mpsc::channel(1);
        let mut projection = Projection {
            model: ReadModel { active: Arc::new(RwLock::new(active)) },
            spec,
            stores,
            control,
            reads: (row.active, row.shape),
            row,
            rebuilds,
            rebuild,
            building: None,
            previous: None,
            active: None,
            new: None,
            flips_refused: 0,
            flips: None,
            open_again_at: None,
            still_since: None,
            wanted: None,
            reading,
            versions: Versions::default(),
        };
        projection.resume().await?;
        Ok(projection)
    }

    /// The read model for the service's own queries.
    pub fn read_model(&self) -> ReadModel {
        self.model.clone()
    }

    /// The way to ask for a rebuild once it runs.
    pub fn rebuild(&self) -> Rebuild {
        Rebuild(self.rebuild.clone())
    }

    /// The versions that are kept up to date once it runs.
    pub fn versions(&self) -> Versions {
        self.versions.clone()
    }

    /// The name under which it listens, `query.posts`.
    pub fn reader(&self) -> Arc<str> {
        self.spec.reader()
    }
}

impl ProjectionSpec {
    fn reader(&self) -> Arc<str> {
        format!("{}.{}", self.service, self.name).into()
    }

    /// Where a version is kept.
    pub fn store_name(&self, version: u32) -> StoreName {
        StoreName::projection(&self.service, self.name, version)
    }

    /// The tables of a version of this shape. Those of another shape than the program's are taken as they are found: the program
    /// that made them may run beside this one, or come back.
    pub fn schema(&self, shape: u32) -> Schema {
        Schema { migrations: self.migrations.clone(), as_found: shape != self.shape, ..Schema::default() }
    }
}

/// Opens a version of this shape.
async fn open_version(
    spec: &ProjectionSpec,
    stores: &Arc<dyn Stores>,
    (version, shape): (u32, u32),
) -> Result<Store, ProjectionError> {
    let schema = spec.schema(shape);
    stores.open(&spec.store_name(version), &schema).await.map_err(|source| ProjectionError::Open {
        name: spec.name.to_owned(),
        version,
        source,
    })
}
