//! All of it behind the seam.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use divisi_contract::ServiceName;
use divisi_store::outbox::{self, Page, PageWanted};
use divisi_store::{
    Activity, BackedUp, Backend, BoxFuture, Class, Clock, Committed, Dialect, Epoch, OpenError, Read, Schema,
    Session, Store, StoreError, StoreErrorKind, StoreName, Stores, retention,
};
use tokio::runtime::Handle;
use tokio::task::{self, JoinError, JoinHandle};

use crate::backup::back_up;
use crate::checkpoint::Checkpoints;
use crate::connect;
use crate::epochs;
use crate::group::Gate;
use crate::leaving::Leaving;
use crate::link::Limit;
use crate::migrate;
use crate::moved;
use crate::options::Options;
use crate::owner::Owner;
use crate::place;
use crate::retention::forget;
use crate::snapshot::{Readers, at_once};
use crate::stats::Stats;
use crate::writer::Writer;

/// The SQLite databases of a directory: `DIR/SERVICE.db`, and `DIR/SERVICE.NAME.vN.db` for projections.
///
/// Each file has one owner process, named in `FILE.owner`; a second one is told who it is. Every opening begins a new
/// epoch, so a file may be replaced by an older copy of it without another word.
///
/// ```
/// use divisi_contract::{CallError, Context};
/// use divisi_sqlite::{Options, Sqlite};
/// use divisi_store::{Migration, Schema, StoreName, Stores, Tx, params};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let schema = Schema {
///     migrations: vec![Migration::new(1, "notes", "CREATE TABLE note (text TEXT NOT NULL)")],
///     ..Schema::default()
/// };
/// let stores = Sqlite::new(dir.path(), Options::default());
/// let store = stores.open(&StoreName::of("notes"), &schema).await?;
/// let added: Result<u64, CallError> = store
///     .transact(&Context::root("me"), async |tx: &mut Tx| {
///         Ok(tx.execute("INSERT INTO note (text) VALUES ($1)", params!["milk"]).await?)
///     })
///     .await;
/// assert_eq!(added?, 1);
/// store.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sqlite {
    dir: PathBuf,
    options: Options,
}

/// One SQLite database.
pub struct SqliteStore {
    gate: Arc<Gate>,
    readers: Arc<Readers>,
    source: ServiceName,
    clock: Clock,
    inline: bool,
    owner: Mutex<Option<Owner>>,
    retention: Mutex<Option<JoinHandle<()>>>,
}

impl Sqlite {
    /// Databases in `dir`, which is made when the first is opened.
    pub fn new(dir: impl Into<PathBuf>, options: Options) -> Sqlite {
        Sqlite { dir: dir.into(), options }
    }

    /// The file of `name`.
    pub fn path(&self, name: &StoreName) -> PathBuf {
        self.dir.join(format!("{name}.db"))
    }

    /// Takes a database to be carried elsewhere: it must be there, and nobody may have it. It is not changed. See
    /// [`Leaving`].
    pub async fn leave(&self, name: &StoreName) -> Result<Leaving, OpenError> {
        let (path, name, options) = (self.path(name), name.clone(), self.options.clone());
        let left = task::spawn_blocking(move || Leaving::take(&path, &name, &options));
        left.await.unwrap_or_else(|error| Err(self.interrupted(error)))
    }

    /// Opens a database like [`Stores::open`], with its counters.
    pub async fn open_store(
        &self,
        name: &StoreName,
        schema: &Schema,
    ) -> Result<(Store, Arc<SqliteStore>), OpenError> {
        let backend = if self.options.inline {
            SqliteStore::open(&self.dir, &self.path(name), name, schema, &self.options)?
        } else {
            let (this, name, schema) = (self.clone(), name.clone(), schema.clone());
            let opened = task::spawn_blocking(move || {
                SqliteStore::open(&this.dir, &this.path(&name), &name, &schema, &this.options)
            });
            match opened.await {
                Ok(backend) => backend?,
                Err(error) => return Err(self.interrupted(error)),
            }
        };
        let backend = Arc::new(backend);
        let store = Store::new(
            Arc::clone(&backend) as Arc<dyn Backend>,
            name.service.clone(),
            schema.topics.clone().into(),
        );
        if let Some(age) = self.options.retention {
            let task = task::spawn(retention::repeat(
                Arc::downgrade(&backend) as Weak<dyn Backend>,
                store.service().clone(),
                schema.topics.clone(),
                age,
                |store, topic, age| Box::pin(forget(store, topic, age)),
            ));
            *backend.retention.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        }
        Ok((store, backend))
    }

    fn interrupted(&self, error: JoinError) -> OpenError {
        let what = self.dir.display().to_string();
        let source = StoreError::new(StoreErrorKind::Other, "opening was interrupted").with_source(error);
        OpenError::Other { what, source }
    }
}

impl Stores for Sqlite {
    fn open<'a>(
        &'a self,
        name: &'a StoreName,
        schema: &'a Schema,
    ) -> BoxFuture<'a, Result<Store, OpenError>> {
        Box::pin(async move { self.open_store(name, schema).await.map(|(store, _)| store) })
    }

    fn exists<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<bool, OpenError>> {
        let path = self.path(name);
        let place = |source| OpenError::Place { what: path.display().to_string(), source };
        Box::pin(std::future::ready(path.try_exists().map_err(place)))
    }

    fn remove<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<(), OpenError>> {
        Box::pin(async move {
            let path = self.path(name);
            let _owner = Owner::take(&path, self.options.address.as_deref())?;
            // The log first: a log without its database could be taken for that of a new one.
            for suffix in ["-wal", "-shm", "", ".owner"] {
                let mut file = path.clone().into_os_string();
                file.push(suffix);
                match std::fs::remove_file(&file) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(OpenError::Place { what: path.display().to_string(), source });
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }

    fn back_up<'a>(
        &'a self,
        services: &'a [ServiceName],
        to: &'a Path,
    ) -> BoxFuture<'a, Result<BackedUp, OpenError>> {
        Box::pin(async move {
            let (this, services, to) = (self.clone(), services.to_vec(), to.to_owned());
            let copied =
                task::spawn_blocking(move || back_up(&this, (&this.dir, &this.options), &services, &to))
                    .await;
            let copies = copied.unwrap_or_else(|error| Err(self.interrupted(error)))?;
            Ok(BackedUp { copies, elsewhere: Vec::new() })
        })
    }
}

impl SqliteStore {
    /// What it has done since it was opened.
    pub fn stats(&self) -> Stats {
        self.gate.counters.read()
    }

    fn open(
        dir: &Path,
        path: &Path,
        name: &StoreName,
        schema: &Schema,
        options: &Options,
    ) -> Result<SqliteStore, OpenError> {
        connect::check_version()?;
        place::prepare(dir)?;
        let owner = Owner::take(path, options.address.as_deref())?;
        moved::check(path, &name.service)?;
        let what = path.display().to_string();
        let failed = |error| connect::open_error(path, error);
        let limit = Arc::new(Limit::new(options.transaction_limit, options.inline));
        let link = connect::writer(path, options, limit, connect::BUSY).map_err(failed)?;
        let now = options.clock.now();
        migrate::migrate(&link, &what, &name.to_string(), schema, now)?;
        link.as_ours(|connection| {
            migrate::begin(connection, |connection| {
                epochs::begin(connection, Epoch::default(), now, options.epochs_kept)
            })
        })
        .map_err(failed)?;
        let writer =
            Writer::new(path.to_owned(), name.service.clone(), options.clone(), link).map_err(failed)?;
        let readers = Readers::open(path, options).map_err(failed)?;
        let checkpoints = Arc::new(Checkpoints::new(path.to_owned(), options.clone()));
        Ok(SqliteStore {
            gate: Arc::new(Gate::new(Box::new(writer), checkpoints, options.clone())),
            readers: Arc::new(readers),
            source: name.service.clone(),
            clock: options.clock,
            inline: options.inline,
            owner: Mutex::new(Some(owner)),
            retention: Mutex::new(None),
        })
    }
}

/// A page in the write-ahead log, with what stands before it.
const FRAME_BYTES: u64 = 4096 + 24;

impl Backend for SqliteStore {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn suspends(&self) -> bool {
        false
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn begin(&self, class: Class) -> BoxFuture<'_, Result<Box<dyn Session>, StoreError>> {
        let turn = self.gate.turn(class);
        Box::pin(async move { turn.await.map(|member| Box::new(member) as Box<dyn Session>) })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Session>, StoreError>> {
        Box::pin(async move {
            self.readers.snapshot().await.map(|snapshot| Box::new(snapshot) as Box<dyn Session>)
        })
    }

    fn page(&self, wanted: PageWanted) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(async move {
            let session = Box::new(self.readers.snapshot().await?.patient());
            let mut read = Read::new(session, Dialect::Sqlite, self.clock.now());
            let source = self.source.clone();
            let mut page = move || at_once(outbox::read_page(&mut read, &source, &wanted));
            if self.inline || Handle::try_current().is_err() {
                return page();
            }
            task::spawn_blocking(page).await.unwrap_or_else(|error| {
                Err(StoreError::new(StoreErrorKind::Other, "reading a page was interrupted")
                    .with_source(error))
            })
        })
    }

    fn begin_epoch(&self, above: Epoch) -> BoxFuture<'_, Result<Epoch, StoreError>> {
        let turn = self.gate.turn(Class::Call);
        Box::pin(async move { turn.await?.begin_epoch(above).await })
    }

    fn listen(&self, listener: Arc<dyn Committed>) {
        *self.gate.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    fn activity(&self) -> BoxFuture<'_, Activity> {
        let stats = self.stats();
        let activity = Activity {
            transactions: stats.members,
            commits: stats.commits,
            waiting: Some(self.gate.waiting()),
            wal_bytes: Some(stats.wal_pages * FRAME_BYTES),
        };
        Box::pin(std::future::ready(activity))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let retention = self.retention.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = retention {
                task.abort();
                let _ = task.await;
            }
            let writer = self.gate.close().await;
            self.gate.checkpoints.close().await;
            self.readers.close().await;
            // The writer last: it removes the write-ahead log, which must be whole in the file then.
            drop(writer);
            drop(self.owner.lock().unwrap_or_else(PoisonError::into_inner).take());
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Some(task) = self.retention.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("source", &self.source).finish_non_exhaustive()
    }
}
