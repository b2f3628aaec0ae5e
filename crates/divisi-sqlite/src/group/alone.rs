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
const FAST: Duration = Duration::from_millis(1);

/// How long the last two COMMITs kept their threads waiting. What one computes counts like any other work, and one that waited long may have
/// waited for a processor: then another thread would be one more that wants it. So both must have: a disk that is slow now and then has
/// some of its syncs on threads of the runtime.
#[derive(Default)]
pub(super) struct Waits([Duration; 2]);

impl Waits {
    pub(super) fn add(&mut self, waited: Duration) {
        self.0 = [waited, self.0[0]];
    }

    /// Whether a COMMIT may run where its caller does.
    pub(super) fn are_short(&self) -> bool {
        self.0.iter().any(|waited| *waited < FAST)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_slow_that_was_slow_twice_and_fast_when_it_was_fast_once() {
        let mut waits = Waits::default();
        assert!(waits.are_short(), "nothing is known");
        waits.add(FAST * 3);
        assert!(waits.are_short(), "it may have been a processor");
        waits.add(FAST);
        assert!(!waits.are_short());
        waits.add(FAST / 2);
        assert!(waits.are_short());
    }
}
