//! When the process ends, why, and in what order.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;

/// The exit code after a second Ctrl-C: what a shell gives to a program that SIGINT ended.
pub const EXIT_INTERRUPTED: i32 = 130;

/// The request to end: made once, seen by everybody who holds a copy. Cheap to clone.
///
/// ```
/// use divisi_host::shutdown::{Reason, Shutdown};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let shutdown = Shutdown::new();
/// shutdown.request(Reason::Asked("the test is over".into()));
/// shutdown.request(Reason::Signal("SIGTERM"));
/// assert_eq!(shutdown.requested().await.to_string(), "the test is over", "the first word counts");
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<Option<Reason>>>);

/// Why the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A signal asked for it.
    Signal(&'static str),
    /// A task failed whose failure the process does not survive.
    TaskFailed {
        /// The task.
        task: Arc<str>,
        /// What went wrong.
        why: Arc<str>,
    },
    /// The program asked for it, with these words.
    Asked(Arc<str>),
}

/// The stages of a shutdown, in their order. What belongs to one ends before the next begins.
///
/// Strangers are answered before calls are drained, because an answer to them may need calls, even of this process to
/// itself; calls before consumers stop, because an answer may wait for a projection; stores are last, because
/// everything above writes to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// No new connection and no new call is taken.
    Accept,
    /// Requests of strangers that run are answered, and no other is taken.
    Edge,
    /// Calls that run come to their end.
    Calls,
    /// Consumers, relays and timers end after the batch that they are at.
    Consumers,
    /// Databases are closed.
    Stores,
}

/// Watches for SIGINT and SIGTERM while it is held.
#[derive(Debug)]
#[must_use = "signals are watched only while this is held"]
pub struct Signals(JoinHandle<()>);

impl Shutdown {
    /// A shutdown that nobody has requested yet.
    pub fn new() -> Shutdown {
        Shutdown(Arc::new(watch::Sender::new(None)))
    }

    /// Asks everybody to end. The first reason counts; `false` when there was one already.
    pub fn request(&self, reason: Reason) -> bool {
        self.0.send_if_modified(|now| {
            let first = now.is_none();
            if first {
                *now = Some(reason);
            }
            first
        })
    }

    /// Waits until somebody asks to end; at once when somebody has.
    pub async fn requested(&self) -> Reason {
        let mut requests = self.0.subscribe();
        loop {
            if let Some(reason) = requests.borrow_and_update().clone() {
                return reason;
            }
            if requests.changed().await.is_err() {
                unreachable!("the sender lives in `self`");
            }
        }
    }

    /// Why the process ends, if it does.
    pub fn reason(&self) -> Option<Reason> {
        self.0.borrow().clone()
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl Reason {
    /// Whether somebody wanted the end; a failed task is none's wish, and the exit code says so.
    pub fn is_wanted(&self) -> bool {
        !matches!(self, Reason::TaskFailed { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Signal(name) => write!(f, "received {name}"),
            Reason::TaskFailed { task, why } => write!(f, "task `{task}` failed: {why}"),
            Reason::Asked(words) => f.write_str(words),
        }
    }
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Stage; 5] = [Stage::Accept, Stage::Edge, Stage::Calls, Stage::Consumers, Stage::Stores];

    /// How much of what `left` is this stage's; what it does not use is there for those after it.
    ///
    /// The edge gets the most: it alone waits for somebody outside.
    pub fn share(self, left: Duration) -> Duration {
        let after: u32 = Stage::ALL.iter().filter(|stage| **stage >= self).map(|stage| stage.weight()).sum();
        left * self.weight() / after
    }

    fn weight(self) -> u32 {
        match self {
            Stage::Accept | Stage::Stores => 1,
            Stage::Edge => 4,
            Stage::Calls | Stage::Consumers => 2,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Accept => "stop accepting",
            Stage::Edge => "answer strangers",
            Stage::Calls => "drain calls",
            Stage::Consumers => "stop consumers",
            Stage::Stores => "close stores",
        })
    }
}

impl Signals {
    /// Begins to watch: the first SIGINT or SIGTERM requests `shutdown`; a SIGINT after that ends the process at
    /// once, with [`EXIT_INTERRUPTED`], because somebody at a keyboard has lost patience.
    ///
    /// A SIGTERM after the first is ignored: whatever supervises the process repeats itself, and ends with SIGKILL.
    pub fn watch(shutdown: &Shutdown) -> io::Result<Signals> {
        let interrupts = signal(SignalKind::interrupt())?;
        let terminations = signal(SignalKind::terminate())?;
        Ok(Signals(tokio::spawn(watch_both(interrupts, terminations, shutdown.clone()))))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch_both(mut interrupts: Signal, mut terminations: Signal, shutdown: Shutdown) {
    loop {
        let name = tokio::select! {
            Some(()) = interrupts.recv() => "SIGINT",
            Some(()) = terminations.recv() => "SIGTERM",
            else => return,
        };
        if shutdown.request(Reason::Signal(name)) {
            info!(signal = name, "received {name}, shutting down; Ctrl-C ends it at once");
        } else if name == "SIGINT" {
            info!("received SIGINT again, ending at once");
            std::process::exit(EXIT_INTERRUPTED);
        }
    }
}

#[cfg(test)]
mod tests;
