//! Says to other instances which version is read here, so that nobody removes it: a lease in the service's own store.

use std::sync::Arc;
use std::time::Duration;

use divisi_store::{Class, Read, Store, StoreError, Tx, TxFailed, lease};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// How long giving the lease back may delay a stop.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// The task that keeps it, as long as this is there.
pub(super) struct Reading {
    version: watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Reading {
    /// Says it from now on, where somebody else may be there to hear it: when it returns, it is said.
    pub(super) async fn start(
        control: &Store,
        reader: Arc<str>,
        version: u32,
    ) -> Result<Option<Reading>, StoreError> {
        let Some(owner) = control.backend().lease_owner() else { return Ok(None) };
        let said = control.run(Class::Upkeep, async |tx: &mut Tx| {
            // Every process that was ever killed has left a row.
            lease::forget(tx, &format!("reads/{reader} v")).await?;
            lease::take(tx, &format!("{}{owner}", prefix(&reader, version)), &owner, lease::TTL).await
        });
        said.await.map_err(TxFailed::into_error)?;
        let (version, versions) = watch::channel(version);
        let task = tokio::spawn(keep(control.clone(), reader, owner, versions));
        Ok(Some(Reading { version, task }))
    }

    /// Another version is read.
    pub(super) fn goes_on(&self, version: u32) {
        self.version.send_replace(version);
    }

    /// Nothing is read any more.
    pub(super) async fn end(self) {
        let Reading { version, task } = self;
        drop(version);
        let _ = timeout(LEAVE_MAX, task).await;
    }
}

/// Whether an instance other than `owner` may read a version.
pub(super) async fn is_read(
    read: &mut Read,
    reader: &str,
    version: u32,
    owner: &str,
) -> Result<bool, StoreError> {
    lease::may_be_held_by_others(read, &prefix(reader, version), lease::TTL, owner).await
}

fn prefix(reader: &str, version: u32) -> String {
    format!("reads/{reader} v{version}/")
}

async fn keep(control: Store, reader: Arc<str>, owner: String, mut versions: watch::Receiver<u32>) {
    let mut before = None;
    loop {
        let version = *versions.borrow_and_update();
        let left = before.filter(|before| *before != version);
        say(&control, &reader, &owner, Some(version), left).await;
        before = Some(version);
        tokio::select! {
            changed = versions.changed() => if changed.is_err() { break },
            () = sleep(lease::TTL / 3) => {}
        }
    }
    say(&control, &reader, &owner, None, before).await;
}

/// Takes or renews one, gives the other one back. What fails is done the next time, or runs out.
async fn say(control: &Store, reader: &str, owner: &str, reads: Option<u32>, left: Option<u32>) {
    let said = control.run(Class::Upkeep, async |tx: &mut Tx| {
        if let Some(version) = reads {
            lease::take(tx, &format!("{}{owner}", prefix(reader, version)), owner, lease::TTL).await?;
        }
        if let Some(version) = left {
            let prefix = prefix(reader, version);
            lease::release(tx, &format!("{prefix}{owner}"), owner).await?;
            lease::forget(tx, &prefix).await?;
        }
        Ok::<(), StoreError>(())
    });
    if let Err(error) = said.await.map_err(TxFailed::into_error) {
        debug!(projection.reader = reader, error = %error, "which version is read here could not be said");
    }
}
