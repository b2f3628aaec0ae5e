//! Every background task: its name, its owner, and what its failure means.

mod caught;
mod stop;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use divisi_contract::error::Chain;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{Instrument, error, error_span, warn};

use crate::shutdown::{Reason, Shutdown, Stage};
use crate::supervisor::backoff::Backoff;
use caught::Caught;
pub use stop::Stopped;

/// An error of any kind, as a task ends with it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The background tasks of a process, and the closing steps of its shutdown. Cheap to clone.
///
/// Every task belongs to a [`Stage`] and ends with it, at the latest by force: [`Tasks::stop`] returns when none runs
/// any more. Dropping the last copy without it aborts them all.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Shared>);

/// Which task it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What it does: `consumer`, `relay`, `listener`.
    pub name: Arc<str>,
    /// For whom it does it: a service, or `host`.
    pub owner: Arc<str>,
    /// When it ends.
    pub stage: Stage,
}

/// What the failure of a task means. A panic is a failure; an end with `Ok` is not.
///
/// Tasks that are started again after a failure are a matter of their own: [`Tasks::spawn_restarting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The process cannot go on without it: it shuts down, in order, and exits with a failure.
    StopsProcess,
    /// It is reported, and that is all.
    IsLogged,
}

/// Tells a task to end. A task that does not listen is aborted when its stage's time is over.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<Option<Stage>>, Stage);

#[derive(Debug)]
struct Shared {
    running: Mutex<Running>,
    stage: watch::Sender<Option<Stage>>,
    shutdown: Shutdown,
}

#[derive(Debug, Default)]
struct Running {
    tasks: Vec<(Task, JoinHandle<()>)>,
    closing: Vec<(Task, Closing)>,
    /// The stage that has been reached: what belongs to it or to an earlier one is no longer started.
    reached: Option<Stage>,
}

struct Closing(divisi_call::BoxFuture<'static, Result<(), BoxError>>);

impl Task {
    /// The task `name` of `owner`, which ends with `stage`.
    pub fn new(owner: impl Into<Arc<str>>, name: impl Into<Arc<str>>, stage: Stage) -> Task {
        Task { name: name.into(), owner: owner.into(), stage }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.owner, self.name)
    }
}

impl Tasks {
    /// No tasks yet; one that the process cannot go on without requests `shutdown` when it fails.
    pub fn new(shutdown: Shutdown) -> Tasks {
        let stage = watch::Sender::new(None);
        Tasks(Arc::new(Shared { running: Mutex::default(), stage, shutdown }))
    }

    /// Starts a task. It runs until it returns, or until its stage of the shutdown, which `work` hears of through its
    /// [`Stopping`]. When that stage has come already, it is not started.
    pub fn spawn<W, F, E>(&self, task: Task, failure: Failure, work: W)
    where
        W: FnOnce(Stopping) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let (work, shutdown) = (work(self.stopping(task.stage)), self.0.shutdown.clone());
        self.own(task.clone(), async move {
            let Err(why) = Caught::new(work).await else { return };
            failed(&task, failure, &why, &shutdown);
        });
    }

    /// Starts a task that is started again after each failure, later and later as `backoff` says. When it returns
    /// `Ok` it has done its work.
    pub fn spawn_restarting<W, F, E>(&self, task: Task, mut backoff: Backoff, mut work: W)
    where
        W: FnMut(Stopping) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let stopping = self.stopping(task.stage);
        self.own(task.clone(), async move {
            loop {
                let since = tokio::time::Instant::now();
                let Err(why) = Caught::new(work(stopping.clone())).await else { return };
                if stopping.is_requested() {
                    return warn!("task `{task}` failed while it was stopping: {}", Chain(&*why));
                }
                let delay = backoff.after(since.elapsed());
                warn!("task `{task}` failed, starting it again in {delay:?}: {}", Chain(&*why));
                tokio::select! {
                    () = stopping.requested() => return,
                    () = tokio::time::sleep(delay) => {}
                }
            }
        });
    }

    /// Adds a step of the shutdown: it runs when `task`'s stage comes, beside the tasks that end in it, and is bounded
    /// by the stage's time like them.
    pub fn at_stop<F, E>(&self, task: Task, step: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let step = Closing(Box::pin(async move { step.await.map_err(Into::into) }));
        self.0.lock().closing.push((task, step));
    }

    /// The names of the tasks that run now.
    pub fn running(&self) -> Vec<Task> {
        let running = self.0.lock();
        running.tasks.iter().filter(|(_, join)| !join.is_finished()).map(|(task, _)| task.clone()).collect()
    }

    /// Goes through the stages in order and returns when no task runs any more.
    ///
    /// It takes `within` at most: each stage has its share, and what it does not use is there for those after it. A
    /// task or step that did not end in time is named in the log and in the answer, and aborted. (A task that never
    /// waits cannot be aborted; it ends with the process.)
    pub async fn stop(&self, within: Duration) -> Stopped {
        stop::in_stages(&self.0, within).await
    }

    fn stopping(&self, stage: Stage) -> Stopping {
        Stopping(self.0.stage.subscribe(), stage)
    }

    fn own(&self, task: Task, work: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.0.lock();
        if running.reached >= Some(task.stage) {
            return;
        }
        running.tasks.retain(|(_, join)| !join.is_finished());
        let span = error_span!("task", task.name = %task.name, task.owner = %task.owner);
        running.tasks.push((task, tokio::spawn(work.instrument(span))));
    }
}

impl Stopping {
    /// Waits until the task is to end; for ever when the process ends without a shutdown.
    pub async fn requested(&self) {
        let mut stages = self.0.clone();
        // The sender is gone only after every task was aborted.
        if stages.wait_for(|reached| *reached >= Some(self.1)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the task is to end.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() >= Some(self.1)
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        // Nothing panics while it is held; and a list of tasks is a list of tasks.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for (_, join) in &self.tasks {
            join.abort();
        }
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closing")
    }
}

fn failed(task: &Task, failure: Failure, why: &BoxError, shutdown: &Shutdown) {
    let why = Chain(&**why).to_string();
    match failure {
        Failure::IsLogged => warn!("task `{task}` failed: {why}"),
        Failure::StopsProcess => {
            error!("task `{task}` failed, and the process cannot go on without it: {why}");
            shutdown.request(Reason::TaskFailed { task: task.to_string().into(), why: why.into() });
        }
    }
}

#[cfg(test)]
mod tests;
