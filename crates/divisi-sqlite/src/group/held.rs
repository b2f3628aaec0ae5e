//! Waiting while another process has the database's lock.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use divisi_store::{StoreError, StoreErrorKind};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::{Gate, Phase};

/// How often it is looked whether the lock is free.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Who has the lock is taken for the same one if it was seen so shortly before; nobody may have looked for long.
pub(super) const SAME: Duration = Duration::from_millis(100);

/// The error that another process has had the lock for too long.
pub(super) fn too_long(error: StoreError) -> StoreError {
    let words = "another process (a backup, a command line tool) has had the database's lock for some seconds; let it go, and try again";
    StoreError::new(StoreErrorKind::Busy, words).with_source(error)
}

/// Somebody is going to look again; at once when this is dropped.
struct Look(Arc<Gate>);

/// Lets those who wait look again in a while. The gate's state must not be locked: a runtime that shuts down drops the task at once.
pub(super) fn look_later(gate: &Arc<Gate>, runtime: &Handle) {
    let look = Look(Arc::clone(gate));
    // It ends by itself.
    drop(runtime.spawn(async move {
        sleep(LOOK_EVERY).await;
        drop(look);
    }));
}

impl Drop for Look {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.phase != Phase::Held {
            return;
        }
        state.phase = Phase::Idle;
        let wakers = state.wake_for_idle();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.0.idle.notify_waiters();
    }
}
