//! Whose turn a lane is, within this process: its batch's, or one of its parked keys'.
//!
//! It saves work and nothing else: both lock the lane's watermark. But who waits there holds a connection, and where transactions are
//! stricter it loses the race against each batch that was there before, so that a parked key of a busy lane would never be tried.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use divisi_store::Lane;
use divisi_store::inbox::Inbox;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of all lanes, in the order in which they were asked for.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<(Inbox, Lane), Arc<Semaphore>>>);

impl Turns {
    /// Waits for the turn of a lane, which ends when what comes is dropped.
    pub(super) async fn of(&self, inbox: &Inbox, lane: Lane) -> Option<OwnedSemaphorePermit> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry((inbox.clone(), lane)).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        // It is never closed.
        turn.acquire_owned().await.ok()
    }
}
