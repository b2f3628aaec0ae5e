//! Some services on a server and the others in files: the way of an app that moves one service at a time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_store::{BackedUp, BoxFuture, OpenError, Schema, Store, StoreName, Stores};

/// Opens the databases of `remote` there, and those of all others here.
pub(super) struct Mixed {
    pub(super) files: Arc<dyn Stores>,
    pub(super) server: Arc<dyn Stores>,
    pub(super) remote: BTreeSet<String>,
}

impl Mixed {
    fn of(&self, name: &StoreName) -> &dyn Stores {
        if self.remote.contains(name.service.as_str()) { &*self.server } else { &*self.files }
    }
}

impl Stores for Mixed {
    fn open<'a>(
        &'a self,
        name: &'a StoreName,
        schema: &'a Schema,
    ) -> BoxFuture<'a, Result<Store, OpenError>> {
        self.of(name).open(name, schema)
    }

    fn exists<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<bool, OpenError>> {
        self.of(name).exists(name)
    }

    fn remove<'a>(&'a self, name: &'a StoreName) -> BoxFuture<'a, Result<(), OpenError>> {
        self.of(name).remove(name)
    }

    fn back_up<'a>(
        &'a self,
        services: &'a [ServiceName],
        to: &'a Path,
    ) -> BoxFuture<'a, Result<BackedUp, OpenError>> {
        Box::pin(async move {
            let is_remote = |service: &ServiceName| self.remote.contains(service.as_str());
            let (there, here): (Vec<_>, Vec<_>) = services.iter().cloned().partition(is_remote);
            let mut done = self.files.back_up(&here, to).await?;
            let there = self.server.back_up(&there, to).await?;
            done.copies.extend(there.copies);
            done.elsewhere.extend(there.elsewhere);
            Ok(done)
        })
    }
}
