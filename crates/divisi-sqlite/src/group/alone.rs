//! One who is alone commits by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::{self, error::RecvError};
use tokio::task;

use super::commit::{self, Closing};
use super::{Ending, Gate, Phase};

/// A COMMIT that waits less for the disk may run where its caller does, like any other statement. A longer one would hold up what
/// else the thread has to do.
pub(super) const FAST: Duration = Duration::from_millis(1);

/// The only member of an open group that has no commit job. Dropped, it starts one.
pub(crate) struct Alone {
    gate: Arc<Gate>,
    number: u64,
    answer: oneshot::Receiver<Ending>,
}

impl Alone {
    pub(super) fn new(gate: Arc<Gate>, number: u64, answer: oneshot::Receiver<Ending>) -> Alone {
        Alone { gate, number, answer }
    }

    /// Commits, unless somebody has come whom it shares a commit with.
    pub(super) async fn commit(mut self) -> Result<Ending, RecvError> {
        // Whoever can run here runs first: a group is made of those who come now.
        task::yield_now().await;
        if let Some(closing) = self.close() {
            // A panic has undone the group and said so; it is told like any other ending.
            let _ = catch_unwind(AssertUnwindSafe(|| closing.commit()));
        }
        (&mut self.answer).await
    }

    /// Closes the group if it is still alone; otherwise the job does it.
    fn close(&self) -> Option<Closing> {
        let mut state = self.gate.lock();
        if state.group.number != self.number || state.phase != Phase::Open || state.group.has_job {
            return None;
        }
        let has_company = state.group.members > 1 || state.waiting.expected() > 0;
        if has_company {
            let start = commit::start(&self.gate, &mut state);
            if state.group.has_job {
                drop(state);
                start.now();
                return None;
            }
        }
        let writer = state.writer.take()?;
        let closing = state.close(writer);
        drop(state);
        Some(Closing::new(Arc::clone(&self.gate), closing))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if state.group.number != self.number || state.phase != Phase::Open {
            return;
        }
        let start = commit::start(&self.gate, &mut state);
        if state.group.has_job {
            drop(state);
            start.now();
        } else if let Some(writer) = state.writer.take() {
            let closing = state.close(writer);
            drop(state);
            Closing::new(Arc::clone(&self.gate), closing).abandon();
        }
    }
}
