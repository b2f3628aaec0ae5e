//! Brings the write-ahead log into the file, beside the writer.
//!
//! A checkpoint of thousands of pages takes many milliseconds, in which nobody could write if the writer made it. So a
//! connection of its own makes it on a blocking thread, while writers go on appending to the log, and again what they
//! appended meanwhile, as long as that becomes less. The writer brings in the rest between two groups, and only then the log begins anew: a
//! log that is always written to would grow for ever otherwise.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::connect;
use crate::options::Options;

/// A pass that brought in so few pages (1 MiB) took so little time that less was appended meanwhile: the writer, which everybody
/// waits for, may bring in that.
const PAGES_FEW: i64 = 256;

/// The checkpoints of one file.
pub(crate) struct Checkpoints {
    path: PathBuf,
    options: Options,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Opened when it is first needed, and kept.
    connection: Option<Connection>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Running,
    /// Most of the log is in the file; the writer does the rest.
    Done,
    Closed,
}

impl Checkpoints {
    /// None has been made.
    pub(crate) fn new(path: PathBuf, options: Options) -> Checkpoints {
        let state = State { phase: Phase::Idle, connection: None, task: None };
        Checkpoints { path, options, state: Mutex::new(state) }
    }

    /// The log has grown long: starts bringing it in. Whether the writer is to make a checkpoint itself, now, since
    /// there is little left to do, or nobody else who could do it.
    pub(crate) fn due(self: &Arc<Self>) -> bool {
        if self.options.inline {
            return true;
        }
        let Ok(runtime) = Handle::try_current() else { return true };
        let mut state = self.lock();
        match state.phase {
            Phase::Idle => {
                state.phase = Phase::Running;
                let this = Arc::clone(self);
                state.task = Some(runtime.spawn_blocking(move || this.run()));
                false
            }
            Phase::Running | Phase::Closed => false,
            Phase::Done => {
                state.phase = Phase::Idle;
                true
            }
        }
    }

    fn run(&self) {
        let connection = self.lock().connection.take();
        let made = connection.map_or_else(|| connect::beside(&self.path, &self.options), Ok).and_then(
            |connection| {
                self.bring_in(&connection)?;
                Ok(connection)
            },
        );
        let mut state = self.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Done;
        }
        match made {
            Ok(connection) => state.connection = Some(connection),
            // The writer tries it itself, and says so if it fails too.
            Err(error) => tracing::debug!(error = %error, "a checkpoint beside the writer failed"),
        }
    }

    /// Brings the log in, and what was appended meanwhile, as long as that pays.
    fn bring_in(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (mut done, mut before) = (0, i64::MAX);
        loop {
            // Of the log as it was when the pass began.
            let now: i64 =
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get("checkpointed"))?;
            let brought = now - done;
            if !pays(brought, before) || self.lock().phase == Phase::Closed {
                return Ok(());
            }
            (done, before) = (now, brought);
        }
    }

    /// Waits for the one that is being made, and closes the connection. None is made any more.
    pub(crate) async fn close(&self) {
        let task = {
            let mut state = self.lock();
            state.phase = Phase::Closed;
            state.task.take()
        };
        if let Some(task) = task {
            // One that panicked has ended too.
            let _ = task.await;
        }
        drop(self.lock().connection.take());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether another pass beside the writer pays, when the last one brought in `brought` pages and the one before it `before`. Where writers append
/// nearly as fast as pages are brought in, or faster, the log would only grow meanwhile.
fn pays(brought: i64, before: i64) -> bool {
    brought > PAGES_FEW && brought <= before / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_end_when_little_came_or_no_less_than_before() {
        assert!(pays(4_000, i64::MAX), "what came during the first is not known");
        assert!(pays(300, 4_000));
        assert!(!pays(PAGES_FEW, 4_000), "the writer does that as fast");
        assert!(!pays(3_000, 4_000) && !pays(9_000, 4_000), "writers are as fast as it is");
        assert!(!pays(-1, i64::MAX) && !pays(0, i64::MAX), "somebody else makes one, or nothing is left");
    }
}
