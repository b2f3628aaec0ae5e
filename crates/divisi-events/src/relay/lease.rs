//! Which relay publishes a topic now.

use std::sync::Arc;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_store::{Class, Read, Store, StoreError, Tx, TxFailed, lease};

/// Grants a name to one relay at a time, each time with a higher token.
///
/// It saves work and nothing else: two relays that both believe to lead do no harm.
pub trait Lease: Send + Sync + 'static {
    /// Takes or renews the lease; its token, or `None` when another relay holds it.
    fn take<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>>;

    /// Whether `token` is still the lease's, inside the transaction that keeps the cursor.
    fn holds<'a>(
        &'a self,
        tx: &'a mut Tx,
        name: &'a str,
        token: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Gives the lease back before its time, if it is held.
    fn release<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// The lease where one process owns the database: always granted. The token is the source's epoch, so that a carrier
/// can tell a relay of an older life from one of today.
#[derive(Debug, Clone)]
pub struct Granted {
    store: Store,
}

impl Granted {
    /// Grants every lease of relays of `store`.
    pub fn new(store: Store) -> Granted {
        Granted { store }
    }
}

impl Lease for Granted {
    fn take<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            let (epoch,): (Option<i64>,) = self
                .store
                .read(async |read: &mut Read| {
                    read.query_one("SELECT max(epoch) FROM divisi_epoch", &[]).await
                })
                .await?;
            Ok(Some(epoch.unwrap_or_default().unsigned_abs()))
        })
    }

    fn holds<'a>(
        &'a self,
        _tx: &'a mut Tx,
        _name: &'a str,
        _token: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async { Ok(true) })
    }

    fn release<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// The lease where several processes write one database: a row of it, by its clock.
#[derive(Debug, Clone)]
pub struct Leased {
    store: Store,
    owner: Arc<str>,
    ttl: Duration,
}

impl Leased {
    /// Grants the leases of relays of `store` to `owner`, which is made anew by each process at its start.
    pub fn new(store: Store, owner: impl Into<Arc<str>>) -> Leased {
        Leased { store, owner: owner.into(), ttl: lease::TTL }
    }

    /// The same for so long: the relay renews it in good time.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Leased {
        self.ttl = ttl;
        self
    }
}

impl Lease for Leased {
    fn take<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            let taken = self
                .store
                .run(Class::Upkeep, async |tx: &mut Tx| lease::take(tx, name, &self.owner, self.ttl).await);
            taken.await.map(|(token, _)| token).map_err(TxFailed::into_error)
        })
    }

    fn holds<'a>(
        &'a self,
        tx: &'a mut Tx,
        name: &'a str,
        token: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { lease::holds(tx, name, &self.owner, token).await })
    }

    fn release<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let released = self
                .store
                .run(Class::Upkeep, async |tx: &mut Tx| lease::release(tx, name, &self.owner).await);
            released.await.map(drop).map_err(TxFailed::into_error)
        })
    }
}
