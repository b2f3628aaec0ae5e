//! All of it behind the seam.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use deadpool_postgres::{Client, Object, Pool, PoolError};
use divisi_store::outbox::{Page, PageWanted};
use divisi_store::{
    Activity, Backend, BoxFuture, Class, Clock, Committed, Dialect, Epoch, Isolation, OpenError, Schema,
    Session, Store, StoreError, StoreErrorKind, StoreName, Stores, lease, retention,
};
use tokio::task::JoinHandle;

use crate::connect::{self, Connector};
use crate::core::Core;
use crate::epochs::Reason;
use crate::error::{code, open_error, store_error};
use crate::migrate;
use crate::options::Options;
use crate::page;
use crate::place::{Place, refused};
use crate::retention::forget;
use crate::staged;
use crate::transaction::{SNAPSHOT, Transaction, begin};
use crate::urls::Urls;
use crate::watch;

/// How often a page is tried when an epoch begins at that very moment.
const PAGE_ATTEMPTS: usize = 3;

/// Who waits for a lock in this database, whichever process it is of. Of other roles' sessions, as an operator's, nothing is seen.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// The PostgreSQL databases of services: one database and one set of credentials a service, and in it a schema for each
/// version of a projection.
///
/// Several processes may open the same database: what they write is one log. A database that went back in time, by a
/// promotion or a restore, begins a new epoch by itself.
///
/// ```no_run
/// use divisi_contract::{CallError, Context};
/// use divisi_postgres::{Options, Postgres, Urls};
/// use divisi_store::{Migration, Schema, StoreName, Stores, Tx, params};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let urls = Urls::none().with("notes", "postgres://notes:secret@db.internal/notes");
/// let stores = Postgres::new(urls, Options::default());
/// let schema = Schema {
///     migrations: vec![Migration::new(1, "notes", "CREATE TABLE note (text TEXT NOT NULL)")],
///     ..Schema::default()
/// };
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
pub struct Postgres {
    urls: Urls,
    pub(crate) options: Options,
}

/// One PostgreSQL database, or one schema of it.
pub struct PostgresStore {
    core: Arc<Core>,
    /// Whether a session shows that this process is there, which is so for the service's own schema.
    is_watched: bool,
    /// Its own tasks: the watch for other instances, numbering, and retention. Aborted with it.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Postgres {
    /// Databases at these addresses. Nothing is connected before the first is opened.
    pub fn new(urls: Urls, options: Options) -> Postgres {
        Postgres { urls, options }
    }

    /// Opens a database like [`Stores::open`], with what only PostgreSQL has.
    pub async fn open_store(
        &self,
        name: &StoreName,
        schema: &Schema,
    ) -> Result<(Store, Arc<PostgresStore>), OpenError> {
        let (place, connector) = self.place(name)?;
        let pool = connect::pool(&place, &connector, &self.options)?;
        let client = self.first(&place, &connector, &pool).await?;
        connect::check_server(&client, &place.what).await?;
        let now = self.options.clock.now();
        let migrated = migrate::migrate(&client, &place, &name.to_string(), schema, now).await;
        // It has the lock, and no limits: not one to give back.
        drop(Object::take(client));
        migrated?;
        let core = Arc::new(Core::new(name.service.clone(), schema, self.options.clone(), pool));
        core.begin_epoch(Reason::OtherLife).await.map_err(|error| open_error(&place.what, error))?;
        if !core.topics.is_empty() {
            staged::settle(&core, &place).await?;
        }
        // A version of a projection has no log, and what its service leases is in the service's own store.
        let is_watched = name.projection.is_none();
        let watch = is_watched.then(|| tokio::spawn(watch::watch(Arc::clone(&core), connector)));
        let numbering = (!schema.topics.is_empty() && core.isolation.is_strict())
            .then(|| tokio::spawn(staged::keep_numbering(Arc::clone(&core))));
        let tasks = Mutex::new(watch.into_iter().chain(numbering).collect());
        let backend = Arc::new(PostgresStore { core, is_watched, tasks });
        let store = Store::new(
            Arc::clone(&backend) as Arc<dyn Backend>,
            name.service.clone(),
            schema.topics.clone().into(),
        );
        if let Some(age) = self.options.retention {
            let weak = Arc::downgrade(&backend) as Weak<dyn Backend>;
            let (service, topics) = (name.service.clone(), schema.topics.clone());
            let task = tokio::spawn(retention::repeat(weak, service, topics, age, |store, topic, age| {
                Box::pin(forget(store, topic, age))
            }));
            backend.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        }
        Ok((store, backend))
    }

    pub(crate) fn place(&self, name: &StoreName) -> Result<(Place, Connector), OpenError> {
        let Some(url) = self.urls.of(&name.service) else {
            let what = format!("the database of `{}`", name.service);
            return Err(refused(&what, "no URL says where it is; name one for this service"));
        };
        let place = Place::new(name, &url, &self.options)?;
        let connector = Connector::new(&place, &self.options)?;
        Ok((place, connector))
    }

    /// The first connection; it makes the database if that is allowed.
    pub(crate) async fn first(
        &self,
        place: &Place,
        connector: &Connector,
        pool: &Pool,
    ) -> Result<Client, OpenError> {
        let failed = |error| open_error(&place.what, pool_error(error));
        let error = match pool.get().await {
            Ok(client) => return Ok(client),
            Err(error) => pool_error(error),
        };
        if code(&error) != Some("3D000") || !self.options.create_databases {
            return Err(open_error(&place.what, error));
        }
        connect::create_database(connector, place).await?;
        pool.get().await.map_err(failed)
    }
}

impl Stores for Postgres {
    fn open<'a>(
        &'a self,
        name: &'a StoreName,
        schema: &'a Schema,
    ) -> BoxFuture<'a, Result<Store, OpenError>> {
        Box::pin(async move { self.open_store(name, schema).await.map(|(store, _)| store) })
    }

    fn exists<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<bool, OpenError>> {
        Box::pin(async move {
            let (place, connector) = self.place(name)?;
            let pool = connect::pool(&place, &connector, &self.options)?;
            let client = match pool.get().await.map_err(pool_error) {
                Ok(client) => client,
                Err(error) if code(&error) == Some("3D000") => return Ok(false),
                Err(error) => return Err(open_error(&place.what, error)),
            };
            let found = client.query_one("SELECT to_regclass('divisi_meta') IS NOT NULL", &[]).await;
            let found = found.and_then(|row| row.try_get(0));
            found.map_err(|error| open_error(&place.what, store_error(error)))
        })
    }

    fn remove<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<(), OpenError>> {
        Box::pin(async move {
            let (place, connector) = self.place(name)?;
            if name.projection.is_none() {
                return Err(refused(
                    &place.what,
                    "a service's own store is removed by an operator, on the server",
                ));
            }
            let pool = connect::pool(&place, &connector, &self.options)?;
            let client = pool.get().await.map_err(|error| open_error(&place.what, pool_error(error)))?;
            let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", place.schema);
            client.batch_execute(&sql).await.map_err(|error| open_error(&place.what, store_error(error)))
        })
    }
}

impl PostgresStore {
    /// How many transactions wait for a lock in the database.
    async fn waiting(&self) -> Result<u64, StoreError> {
        let mut read = self.snapshot().await?;
        let mut rows = read.query(WAITING, &[]).await?;
        rows.first_mut().map_or(Ok(0_i64), |row| row.take(0)).map(i64::unsigned_abs)
    }
}

impl Backend for PostgresStore {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn suspends(&self) -> bool {
        true
    }

    fn consumers_max(&self) -> Option<usize> {
        Some(self.core.consumers_max)
    }

    fn one_owner(&self) -> bool {
        false
    }

    fn lease_owner(&self) -> Option<String> {
        let me = &self.core.me;
        Some(if self.is_watched { lease::owner_by_session(me) } else { me.clone() })
    }

    fn clock(&self) -> Clock {
        self.core.options.clock
    }

    fn begin(&self, class: Class) -> BoxFuture<'_, Result<Box<dyn Session>, StoreError>> {
        Box::pin(async move {
            let isolation = match class {
                Class::Call | Class::Consumer => self.core.isolation,
                Class::Upkeep => Isolation::ReadCommitted,
            };
            let link = self.core.fresh(Some(class), begin(isolation)).await?;
            Ok(Box::new(Transaction::new(link, Arc::clone(&self.core), isolation)) as Box<dyn Session>)
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Session>, StoreError>> {
        Box::pin(async move {
            let link = self.core.fresh(None, SNAPSHOT).await?;
            Ok(Box::new(Transaction::snapshot(link, Arc::clone(&self.core))) as Box<dyn Session>)
        })
    }

    fn page(&self, wanted: PageWanted) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(async move {
            for _ in 0..PAGE_ATTEMPTS {
                let mut link = self.core.begin(None, SNAPSHOT).await?;
                let read = page::read(&mut link, &self.core.source, &wanted).await;
                if link.is_broken() {
                    self.core.forget();
                }
                drop(link);
                if let Some(page) = read? {
                    self.core.enter(page.epochs.current());
                    return Ok(page);
                }
                self.core.begin_epoch(Reason::OtherLife).await?;
            }
            Err(StoreError::new(StoreErrorKind::Busy, "the database goes from one life to the next"))
        })
    }

    fn begin_epoch(&self, above: Epoch) -> BoxFuture<'_, Result<Epoch, StoreError>> {
        Box::pin(self.core.begin_epoch(Reason::Above(above)))
    }

    fn listen(&self, listener: Arc<dyn Committed>) {
        self.core.listen(listener);
    }

    fn activity(&self) -> BoxFuture<'_, Activity> {
        Box::pin(async move {
            // Once a database: projections have schemas of it.
            let waiting =
                if self.is_watched && self.core.has_spare() { self.waiting().await.ok() } else { None };
            let committed = self.core.n_committed.load(Relaxed);
            Activity { transactions: committed, commits: committed, waiting, wal_bytes: None }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            for task in tasks {
                task.abort();
                let _ = task.await;
            }
            self.core.close().await;
        })
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("source", &self.core.source).finish_non_exhaustive()
    }
}

fn pool_error(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => store_error(error),
        error => {
            StoreError::new(StoreErrorKind::Busy, "the database does not answer in time").with_source(error)
        }
    }
}
