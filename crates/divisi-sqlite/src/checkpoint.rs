//! Brings the write-ahead log into the file, beside the writer.
//!
//! A checkpoint of thousands of pages takes many milliseconds, in which nobody could write if the writer made it. So a
//! connection of its own makes it on a blocking thread, while writers go on appending to the log, and again what they
//! appended meanwhile, until it is little. The writer brings that in between two groups, and only then the log begins anew: a log that
//! is always written to would grow for ever otherwise.

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
/// Times that the log is brought in beside the writer before the writer does it, whatever is left.
const PASSES_MAX: usize = 4;

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

    /// How long the log's file is: as long as the log ever was since it was last removed.
    pub(crate) fn log_bytes(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |found| found.len())
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
                bring_in(&connection)?;
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

/// Brings the log in, and what was appended meanwhile, until that is little; or until somebody who reads keeps it from becoming less.
fn bring_in(connection: &Connection) -> rusqlite::Result<()> {
    let mut before = 0;
    for _ in 0..PASSES_MAX {
        // Of the log as it was when the pass began.
        let done: i64 =
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get("checkpointed"))?;
        if done - before <= PAGES_FEW {
            break;
        }
        before = done;
    }
    Ok(())
}
