//! Every service as a process of its own, on this machine.
//!
//! The supervisor starts the processes, waits until each says that it is ready, starts again what dies, later and
//! later but always, and stops them in order. A child never outlives it, even when it is killed:
//! on Linux the kernel kills the child, and elsewhere the child sees the end of its standard input.
//!
//! Standard input of a child is one end of a socket pair. The child says `ready ADDRESS` or `failed WORDS` there, and
//! its end means that the supervisor is gone. Standard output and error stay the child's own; their lines are passed
//! on, with the name of the service before them.

pub mod backoff;
mod child;
mod ending;
mod output;
pub mod ports;
mod spawner;
pub mod supervised;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use crate::health::Health;
use backoff::Backoff;
use child::{Child, Order};
use spawner::Spawner;

/// Names the process that supervises this one, by its process id.
pub const SUPERVISED_BY: &str = "DIVISI_SUPERVISED_BY";

/// How long the supervisor waits for a process that it killed. 1 s: only one that hangs in the kernel takes longer.
const KILL_WITHIN: Duration = Duration::from_secs(1);

/// A process to supervise: a service, or the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// How it is called in messages, in health and before its lines.
    pub name: Arc<str>,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables in addition to the supervisor's own.
    pub variables: Vec<(OsString, OsString)>,
}

/// How processes are supervised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether the name of the service stands before each of its lines; without it for logs that machines read.
    pub prefixed: bool,
    /// How long to wait before a process that ended is started again.
    pub backoff: Backoff,
}

/// The processes that run under this one. Dropping it kills them; [`Supervisor::stop`] lets them end.
#[derive(Debug)]
#[must_use = "dropping it kills its processes"]
pub struct Supervisor {
    children: Vec<Child>,
    spawner: Spawner,
    not_started: watch::Receiver<Option<NotStarted>>,
}

/// A process ended before it was ready, or could not be begun at all; in a sentence that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotStarted(String);

impl Process {
    /// The same executable as this one with other arguments.
    pub fn of_this_program(
        name: impl Into<Arc<str>>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> io::Result<Process> {
        Ok(Process {
            name: name.into(),
            program: std::env::current_exe()?,
            arguments: arguments.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
        })
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Process {
        self.variables.push((name.into(), value.into()));
        self
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { prefixed: true, backoff: Backoff::default() }
    }
}

impl Supervisor {
    /// Starts `processes`, all at once. Each is a part of `health` under its name: ready when it says so, and while
    /// it is down not ready, with the reason.
    ///
    /// One that cannot be started is tried again for ever; the error is only that of starting a thread.
    pub fn start(processes: Vec<Process>, settings: &Settings, health: &Health) -> io::Result<Supervisor> {
        let spawner = Spawner::start()?;
        let (first, not_started) = watch::channel(None);
        let first = Arc::new(first);
        let start =
            |process| Child::start(process, settings, spawner.clone_sender(), health, Arc::clone(&first));
        let children = processes.into_iter().map(start).collect();
        Ok(Supervisor { children, spawner, not_started })
    }

    /// Waits until a process could not start, and answers which was the first and why; it is tried again all the same.
    /// Whoever asks after that is answered at once.
    pub async fn not_started(&self) -> NotStarted {
        let mut first = self.not_started.clone();
        let seen = first.wait_for(Option::is_some).await.ok().and_then(|first| first.clone());
        match seen {
            Some(first) => first,
            // No process is left that could fail.
            None => std::future::pending().await,
        }
    }

    /// Stops the processes in the reverse of their order, and answers which had to be killed.
    ///
    /// Each is asked with SIGTERM and has its share of `within`; the next one is asked when it has ended or its share
    /// is over, but it is killed only when the whole of `within` is.
    pub async fn stop(mut self, within: Duration) -> Vec<Arc<str>> {
        let end = Instant::now() + within;
        let mut n_left = u32::try_from(self.children.len()).unwrap_or(u32::MAX);
        for child in self.children.iter_mut().rev() {
            child.order(Order::Terminate);
            let share = end.saturating_duration_since(Instant::now()) / n_left;
            if timeout(share, child.ended()).await.is_err() {
                warn!(service.name = %child.name, "{} still runs, going on without it", child.name);
            }
            n_left -= 1;
        }
        let mut killed = Vec::new();
        for child in self.children.iter_mut().rev() {
            if timeout_at(end, child.ended()).await.is_err() {
                warn!(service.name = %child.name, "{} did not end in time and was killed", child.name);
                child.order(Order::Kill);
                killed.push(Arc::clone(&child.name));
            }
        }
        let gone = Instant::now() + KILL_WITHIN;
        for child in &mut self.children {
            let _ = timeout_at(gone, child.ended()).await;
        }
        drop(self.children);
        self.spawner.join().await;
        killed
    }
}
