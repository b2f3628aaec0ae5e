//! Ending all tasks, stage by stage, bounded in time.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::error::Chain;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use crate::shutdown::Stage;
use crate::task::{Caught, Closing, Shared, Task};

/// How a stop went. The log has said so already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// What did not end in time and was aborted.
    pub aborted: Vec<Task>,
    /// Closing steps that failed, with their words.
    pub failed: Vec<(Task, String)>,
}

impl Stopped {
    /// Whether everything ended by itself.
    pub fn is_clean(&self) -> bool {
        self.aborted.is_empty() && self.failed.is_empty()
    }
}

pub(super) async fn in_stages(shared: &Arc<Shared>, within: Duration) -> Stopped {
    let mut stopped = Stopped::default();
    let end = Instant::now() + within;
    for stage in Stage::ALL {
        let (tasks, steps) = begin(shared, stage);
        if tasks.is_empty() && steps.is_empty() {
            continue;
        }
        let since = Instant::now();
        let share = stage.share(end.saturating_duration_since(since));
        end_all(tasks, steps, since + share, &mut stopped).await;
        debug!(stage = %stage, "{stage}: done after {:?}", since.elapsed());
    }
    stopped
}

type Ending = (Vec<(Task, JoinHandle<()>)>, Vec<(Task, Closing)>);

/// Tells the tasks of `stage` to end, and hands them over with the steps that close it.
fn begin(shared: &Shared, stage: Stage) -> Ending {
    let mut running = shared.lock();
    running.reached = Some(stage);
    shared.stage.send_replace(Some(stage));
    let tasks = running.tasks.extract_if(.., |(task, _)| task.stage <= stage).collect();
    let steps = running.closing.extract_if(.., |(task, _)| task.stage <= stage).collect();
    (tasks, steps)
}

async fn end_all(
    tasks: Vec<(Task, JoinHandle<()>)>,
    steps: Vec<(Task, Closing)>,
    until: Instant,
    stopped: &mut Stopped,
) {
    let mut closing = JoinSet::new();
    let mut names = std::collections::HashMap::new();
    for (task, Closing(step)) in steps {
        names.insert(closing.spawn(Caught::new(step)).id(), task);
    }
    let mut late = Vec::new();
    for (task, mut join) in tasks {
        // The work catches its own panics, so a join error is an abort, and there is none yet.
        if timeout_at(until, &mut join).await.is_err() {
            join.abort();
            late.push((task, join));
        }
    }
    while let Ok(Some(ended)) = timeout_at(until, closing.join_next_with_id()).await {
        let Ok((id, Err(why))) = ended.inspect(|(id, ok)| {
            if ok.is_ok() {
                names.remove(id);
            }
        }) else {
            continue;
        };
        let Some(task) = names.remove(&id) else { continue };
        let why = Chain(&*why).to_string();
        warn!("`{task}` failed while shutting down: {why}");
        stopped.failed.push((task, why));
    }
    closing.abort_all();
    let of_steps = names.into_values();
    for task in late.iter().map(|(task, _)| task.clone()).chain(of_steps) {
        warn!("`{task}` did not end in time and was aborted");
        stopped.aborted.push(task);
    }
    // What was aborted ends at its next wait; what never waits must not hold up the others.
    let gone = async {
        for (_, join) in late {
            let _ = join.await;
        }
        closing.shutdown().await;
    };
    let _ = tokio::time::timeout(ABORT_WITHIN, gone).await;
}

/// How long an aborted task may take to notice. 200 ms: a wait comes long before, or never.
const ABORT_WITHIN: Duration = Duration::from_millis(200);
