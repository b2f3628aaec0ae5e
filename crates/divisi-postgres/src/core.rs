//! What all transactions of a store share: the connections, the listener, the epoch of today.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::{Client, Pool, PoolError};
use divisi_contract::ServiceName;
use divisi_store::{
    Class, Committed, Epoch, Isolation, Lane, Pos, Record, Schema, StoreError, StoreErrorKind,
};
use tokio::sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::epochs::{self, Begun, Reason, Why};
use crate::error::store_error;
use crate::link::{Link, Of, Permits};
use crate::options::Options;
use crate::outbox::Ends;
use crate::staged;

/// One store's share of everything.
pub(crate) struct Core {
    pub(crate) source: ServiceName,
    /// Who this is among the processes that have the database open.
    pub(crate) me: String,
    pub(crate) options: Options,
    pub(crate) isolation: Isolation,
    pub(crate) topics: Vec<&'static str>,
    pool: Pool,
    /// As many as there are connections: who has a permit gets one.
    free: Arc<Semaphore>,
    free_for_consumers: Arc<Semaphore>,
    /// How many permits that has.
    pub(crate) consumers_max: usize,
    /// Shared by every call that has a connection.
    calls: Arc<()>,
    listener: Mutex<Option<Arc<dyn Committed>>>,
    epoch: AtomicI64,
    pub(crate) ends: Ends,
    forgets: AtomicU64,
    /// Something was appended here: other instances may be told.
    pub(crate) appended: Notify,
    /// Something was put down that has no number yet.
    pub(crate) staged: Notify,
    /// Transactions that were committed here.
    pub(crate) n_committed: AtomicU64,
    closed: OnceCell<()>,
}

impl Core {
    pub(crate) fn new(source: ServiceName, schema: &Schema, options: Options, pool: Pool) -> Core {
        let connections = options.connections_max.max(2);
        let of_consumers = options.connections_of_consumers.clamp(1, connections - 1);
        Core {
            source,
            me: format!("{:016x}", fastrand::u64(..)),
            options,
            isolation: schema.isolation,
            ends: Ends::new(&schema.topics),
            topics: schema.topics.clone(),
            pool,
            free: Arc::new(Semaphore::new(connections)),
            free_for_consumers: Arc::new(Semaphore::new(of_consumers)),
            consumers_max: of_consumers,
            calls: Arc::default(),
            listener: Mutex::default(),
            epoch: AtomicI64::new(0),
            forgets: AtomicU64::new(0),
            appended: Notify::new(),
            staged: Notify::new(),
            n_committed: AtomicU64::new(0),
            closed: OnceCell::new(),
        }
    }

    /// A transaction of `class`, or a read, that `begin` opens with its first statement, when a connection is free.
    pub(crate) async fn fresh(&self, class: Option<Class>, begin: &'static str) -> Result<Link, StoreError> {
        let permits = self.permits(class).await?;
        match self.client(permits).await {
            Ok((client, permits)) => Ok(Link::fresh(client, permits, begin, &self.options)),
            Err(error) => {
                self.forget();
                Err(error)
            }
        }
    }

    /// Begins a transaction of `class`, or a read, with `begin`, when a connection is free.
    pub(crate) async fn begin(&self, class: Option<Class>, begin: &'static str) -> Result<Link, StoreError> {
        self.begin_on(self.permits(class).await?, begin).await
    }

    /// Begins a transaction with `begin`. Connections that the server has closed meanwhile are passed over.
    pub(crate) async fn begin_on(
        &self,
        mut permits: Permits,
        begin: &'static str,
    ) -> Result<Link, StoreError> {
        let began = Instant::now();
        for _ in 0..=self.options.connections_max.max(2) {
            let (client, held) = self.client(permits).await?;
            match Link::begin(client, held, begin, &self.options).await {
                Ok(link) => return Ok(link),
                // Whatever else the server says, it says to everybody; and one that is silent is so on every connection.
                Err((error, _))
                    if error.kind != StoreErrorKind::Busy
                        || began.elapsed() > self.options.connection_wait =>
                {
                    self.forget();
                    return Err(error);
                }
                Err((_, held)) => permits = held,
            }
            self.forget();
        }
        Err(StoreError::new(StoreErrorKind::Busy, "the database closes every connection"))
    }

    async fn client(&self, permits: Permits) -> Result<(Client, Permits), StoreError> {
        match self.pool.get().await {
            Ok(client) => Ok((client, permits)),
            Err(PoolError::Backend(error)) => Err(store_error(error)),
            Err(PoolError::Closed) => Err(closed()),
            Err(error) => Err(StoreError::new(StoreErrorKind::Busy, "the database does not answer in time")
                .with_source(error)),
        }
    }

    async fn permits(&self, class: Option<Class>) -> Result<Permits, StoreError> {
        let of = match class {
            // A lane can wait as long as there is work in others; nobody else waits for it.
            Some(Class::Consumer) => {
                let share = Arc::clone(&self.free_for_consumers).acquire_owned();
                Of::Consumers(share.await.map_err(|_| closed())?)
            }
            Some(Class::Call) => Of::Calls(Arc::clone(&self.calls)),
            // A lease is not to run out behind consumers that all wait for a row.
            Some(Class::Upkeep) | None => Of::Nobody,
        };
        Ok(Permits { _connection: self.permit(&self.free).await?, _of: of })
    }

    /// Whether calls of this process have connections: one may wait for a row that a consumer's transaction holds. Which one does is known
    /// to the server alone, and so are the calls of other processes.
    pub(crate) fn serves_calls(&self) -> bool {
        // Who has a connection, or is about to have one, shares the count.
        Arc::strong_count(&self.calls) > 1
    }

    /// Whether there is a connection that nobody has.
    pub(crate) fn has_spare(&self) -> bool {
        self.free.available_permits() > 0
    }

    async fn permit(&self, free: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, StoreError> {
        match timeout(self.options.connection_wait, Arc::clone(free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Busy,
                format!(
                    "all {} connections to the database are in use for {:?}",
                    self.options.connections_max, self.options.connection_wait
                ),
            )),
        }
    }

    /// Begins an epoch for `reason`; tells the listener to forget if one began.
    pub(crate) async fn begin_epoch(&self, reason: Reason) -> Result<Epoch, StoreError> {
        let link = self.begin(Some(Class::Call), epochs::BEGIN).await?;
        let now = self.options.clock.now();
        let begun = epochs::begin(link, reason, now, self.options.epochs_kept).await;
        match begun {
            Ok(begun) => {
                let (Begun::Before(epoch) | Begun::First(epoch) | Begun::Another(epoch, _)) = begun;
                match begun {
                    Begun::Before(_) => {}
                    Begun::First(_) => {
                        tracing::info!(service.name = %self.source, log.epoch = epoch.0, "the log of `{}` begins, with epoch {epoch}", self.source);
                    }
                    Begun::Another(_, why @ Why::Moved) => {
                        tracing::info!(service.name = %self.source, log.epoch = epoch.0, "epoch {epoch} of the log of `{}` begins: {why}", self.source);
                    }
                    Begun::Another(_, why) => {
                        tracing::warn!(service.name = %self.source, log.epoch = epoch.0, "epoch {epoch} of the log of `{}` begins: {why}", self.source);
                    }
                }
                self.enter(epoch);
                Ok(epoch)
            }
            Err(error) => {
                self.forget();
                Err(error)
            }
        }
    }

    /// Notes the epoch of today, as the database said; what is in memory of another one is forgotten.
    pub(crate) fn enter(&self, epoch: Epoch) {
        if self.epoch.swap(epoch.0, Ordering::SeqCst) != epoch.0 {
            self.forget();
        }
    }

    /// Tells the listener of a commit.
    pub(crate) fn committed(&self, records: &[Arc<Record>]) {
        if let Some(record) = records.first() {
            self.enter(record.epoch);
            self.ends.reached(records);
            if let Some(listener) = self.listener() {
                listener.committed(records);
            }
            self.appended.notify_one();
        }
    }

    /// Tells the listener where lanes end, as the database says.
    pub(crate) fn grew(&self, topic: &str, heads: &[(Lane, Pos)]) {
        if let Some(listener) = self.listener() {
            listener.grew(topic, heads);
        }
    }

    /// Tells the listener that nothing in memory may be trusted any more.
    pub(crate) fn forget(&self) {
        self.forgets.fetch_add(1, Ordering::SeqCst);
        self.ends.forget();
        if let Some(listener) = self.listener() {
            listener.forget();
        }
    }

    /// How often the listener was told to forget.
    pub(crate) fn forgets(&self) -> u64 {
        self.forgets.load(Ordering::SeqCst)
    }

    pub(crate) fn listen(&self, listener: Arc<dyn Committed>) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// Waits for the transactions that are open, numbers what they have put down, and closes all connections.
    pub(crate) async fn close(&self) {
        let closing = async {
            let all = u32::try_from(self.options.connections_max.max(2)).unwrap_or(u32::MAX);
            self.free_for_consumers.close();
            if let Ok(permits) = self.free.acquire_many(all).await {
                permits.forget();
                self.free.close();
                staged::leave(self).await;
            }
            self.pool.close();
        };
        // Who closes at the same time waits for the first.
        self.closed.get_or_init(|| closing).await;
    }

    fn listener(&self) -> Option<Arc<dyn Committed>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store has been closed")
}
