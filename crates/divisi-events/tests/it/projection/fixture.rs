//! A shelf of notes, and a projection that counts them, on a paused clock.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::{Event, ServiceName};
use divisi_events::projection::{Input, Projection, ProjectionSpec, ReadModel, Rebuild, Versions};
use divisi_events::{Failure, Fold, Handlers, Listeners, Log, LogOptions};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::{Class, Clock, Migration, Read, Schema, Store, StoreError, StoreName, Stores, Tx, params};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a test waits for what must happen, by the paused clock.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

#[divisi_macros::event(topic = "notes", key = "note", crate = divisi_call)]
pub(super) struct Noted {
    pub(super) note: String,
}

const COUNTS: Migration =
    Migration::new(1, "counts", "CREATE TABLE counts (note TEXT PRIMARY KEY, n BIGINT NOT NULL)");

/// What [`Fixture::start_next`] cannot read.
pub(super) const BAD: &str = "bad";

const TALLIES: Migration =
    Migration::new(2, "tallies", "ALTER TABLE counts ADD COLUMN tally BIGINT NOT NULL DEFAULT 0");

pub(super) struct Fixture {
    pub(super) dir: TempDir,
    stores: Arc<Sqlite>,
    shelf: Store,
    log: Arc<Log>,
    pub(super) control: Store,
}

/// A projection that runs.
pub(super) struct Running {
    pub(super) model: ReadModel,
    pub(super) rebuild: Rebuild,
    pub(super) versions: Versions,
    pub(super) task: JoinHandle<Result<(), divisi_events::projection::ProjectionError>>,
    stop: oneshot::Sender<()>,
}

impl Fixture {
    pub(super) async fn new() -> Fixture {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::simulated(1_700_000_000_000_000);
        // One that a test holds, and one for everybody else.
        let options = Options { readers: 2, ..Options::simulated(clock) };
        let stores = Arc::new(Sqlite::new(dir.path(), options));
        let schema = Schema {
            topics: vec![Noted::TOPIC],
            readers: vec![("desk.counts".into(), Noted::TOPIC)],
            ..Schema::default()
        };
        let shelf = stores.open(&StoreName::of("shelf"), &schema).await.expect("the shelf opens");
        let listeners = Listeners::none().allow(Noted::TOPIC, "desk");
        let log = Log::new(shelf.clone(), listeners, LogOptions::default());
        let control = stores.open(&StoreName::of("desk"), &Schema::default()).await.expect("the desk opens");
        Fixture { dir, stores, shelf, log, control }
    }

    pub(super) fn file(&self, version: u32) -> PathBuf {
        self.stores.path(&StoreName::projection("desk", "counts", version))
    }

    pub(super) fn control_file(&self) -> PathBuf {
        self.stores.path(&StoreName::of("desk"))
    }

    /// The version that is written down as active; zero while that cannot be read.
    pub(super) async fn active(&self) -> u32 {
        let sql = "SELECT active FROM divisi_projection";
        let row: Result<(u32,), StoreError> =
            self.control.read(async |read: &mut Read| read.query_one(sql, params![]).await).await;
        row.map_or(0, |(active,)| active)
    }

    pub(super) fn log_store(&self) -> &Store {
        &self.shelf
    }

    pub(super) async fn note(&self, note: &str) {
        let noted = self.shelf.run(Class::Call, async |tx: &mut Tx| {
            tx.emit(Noted { note: note.to_owned() });
            Ok::<(), StoreError>(())
        });
        noted.await.expect("the shelf takes it");
    }

    pub(super) async fn start(&self) -> Running {
        self.start_as(1, vec![COUNTS], Handlers::new().fold::<Noted, _>(count)).await
    }

    /// The next version of the program: it counts in another column, and cannot read some notes.
    pub(super) async fn start_next(&self) -> Running {
        self.start_as(2, vec![COUNTS, TALLIES], Handlers::new().fold::<Noted, _>(tally)).await
    }

    async fn start_as(&self, shape: u32, migrations: Vec<Migration>, handlers: Handlers) -> Running {
        let service = ServiceName::from("desk");
        let spec = ProjectionSpec { service, name: "counts", shape, migrations, handlers };
        let projection = Projection::open(spec, Arc::clone(&self.stores) as _, self.control.clone());
        let projection = projection.await.expect("the projection opens");
        let input = Input {
            source: "shelf".into(),
            topic: Noted::TOPIC,
            feed: Arc::clone(&self.log) as _,
            carrier: None,
        };
        let (stop, stopped) = oneshot::channel();
        Running {
            model: projection.read_model(),
            rebuild: projection.rebuild(),
            versions: projection.versions(),
            task: tokio::spawn(projection.run(vec![input], async move {
                let _ = stopped.await;
            })),
            stop,
        }
    }
}

impl Running {
    pub(super) async fn counts(&self, note: &str) -> i64 {
        let row: Result<Option<(i64,)>, StoreError> = self
            .model
            .read(async |read: &mut Read| {
                read.query_opt("SELECT n FROM counts WHERE note = $1", params![note]).await
            })
            .await;
        row.expect("the read model can be read").map_or(0, |(n,)| n)
    }

    pub(super) async fn tally(&self, note: &str) -> Option<i64> {
        let row: Result<Option<(i64,)>, StoreError> = self
            .model
            .read(async |read: &mut Read| {
                read.query_opt("SELECT tally FROM counts WHERE note = $1", params![note]).await
            })
            .await;
        row.ok().flatten().map(|(n,)| n)
    }

    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("no panic").expect("it ends well");
    }
}

/// Looks until it is so.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let looking = async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looking).await.is_ok(), "never: {what}");
}

async fn count(fold: &mut Fold<'_>, event: &Noted) -> Result<(), Failure> {
    let sql = "INSERT INTO counts (note, n) VALUES ($1, 1) ON CONFLICT (note) DO UPDATE SET n = n + 1";
    fold.execute(sql, params![event.note]).await?;
    Ok(())
}

async fn tally(fold: &mut Fold<'_>, event: &Noted) -> Result<(), Failure> {
    if event.note == BAD {
        return Err(Failure::permanent("it cannot be read"));
    }
    count(fold, event).await?;
    fold.execute("UPDATE counts SET tally = n WHERE note = $1", params![event.note]).await?;
    Ok(())
}
