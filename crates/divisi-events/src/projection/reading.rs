//! Says to other instances which version is read here, so that nobody removes it: a lease in the service's own store.

use std::sync::Arc;
use std::time::Duration;

use divisi_store::{Class, Read, Store, StoreError, Tx, lease};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// How long giving the lease back may delay a stop.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// The task that keeps it, as long as this is there.
pub(super) struct Reading {
    versions: watch::Sender<Vec<u32>>,
    task: JoinHandle<()>,
}

impl Reading {
    /// Says it from now on, where somebody else may be there to hear it; [`begins`] has said it first.
    pub(super) fn start(control: &Store, reader: Arc<str>, version: u32) -> Option<Reading> {
        let owner = control.backend().lease_owner()?;
        let (versions, changes) = watch::channel(vec![version]);
        let task = tokio::spawn(keep(control.clone(), reader, owner, changes));
        Some(Reading { versions, task })
    }

    /// These are read, or on their way to be.
    pub(super) fn keeps(&self, versions: Vec<u32>) {
        self.versions.send_if_modified(|known| std::mem::replace(known, versions) != *known);
    }

    /// Nothing is read any more.
    pub(super) async fn end(self) {
        let Reading { versions, task } = self;
        drop(versions);
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

/// Says that a version is read here, from the end of this transaction on.
pub(super) async fn keeps(tx: &mut Tx, reader: &str, version: u32, owner: &str) -> Result<(), StoreError> {
    lease::take(tx, &format!("{}{owner}", prefix(reader, version)), owner, lease::TTL).await.map(drop)
}

/// The same, by a process that has just started.
pub(super) async fn begins(tx: &mut Tx, reader: &str, version: u32, owner: &str) -> Result<(), StoreError> {
    // Every process that was ever killed has left a row.
    lease::forget(tx, &format!("reads/{reader} v")).await?;
    keeps(tx, reader, version, owner).await
}

async fn keep(control: Store, reader: Arc<str>, owner: String, mut versions: watch::Receiver<Vec<u32>>) {
    let mut before = Vec::new();
    loop {
        let kept = versions.borrow_and_update().clone();
        say(&control, &reader, &owner, (&kept, &before)).await;
        before = kept;
        tokio::select! {
            changed = versions.changed() => if changed.is_err() { break },
            () = sleep(lease::TTL / 3) => {}
        }
    }
    say(&control, &reader, &owner, (&[], &before)).await;
}

/// Takes or renews some, gives the others back. What fails is done the next time, or runs out.
async fn say(control: &Store, reader: &str, owner: &str, (kept, before): (&[u32], &[u32])) {
    let said = control.run(Class::Upkeep, async |tx: &mut Tx| {
        for version in kept {
            keeps(tx, reader, *version, owner).await?;
        }
        for version in before.iter().filter(|version| !kept.contains(version)) {
            let prefix = prefix(reader, *version);
            lease::release(tx, &format!("{prefix}{owner}"), owner).await?;
            lease::forget(tx, &prefix).await?;
        }
        Ok::<(), StoreError>(())
    });
    // A connection that is silent must not take the place of the next try.
    let why = match timeout(lease::TTL / 3, said).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.into_error().to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    debug!(projection.reader = reader, "which version is read here could not be said: {why}");
}
