//! Calls that wait inside their handler, each a task that this owns.

use std::collections::HashMap;
use std::task::{Context as Task, Poll};

use bytes::Bytes;
use divisi_call::{BoxFuture, in_process};
use divisi_contract::{CallError, CauseKind, Deadline};
use tokio::task::{AbortHandle, JoinSet};

/// What came of a call.
pub(super) type Outcome = Result<Bytes, CallError<Bytes>>;

/// The tasks of one connection, by call. Dropping it aborts them all.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    tasks: JoinSet<(u64, Outcome)>,
    by_id: HashMap<u64, AbortHandle>,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Goes on with a handler that waits.
    pub(super) fn start(&mut self, id: u64, deadline: Deadline, handler: BoxFuture<'static, Outcome>) {
        let task = self.tasks.spawn(async move { (id, in_process::within(deadline, handler).await) });
        self.by_id.insert(id, task);
    }

    /// Drops the handler of a call that nobody waits for.
    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(task) = self.by_id.remove(&id) {
            task.abort();
        }
    }

    /// Drops all handlers, and waits until they are.
    pub(super) async fn shut_down(&mut self) {
        self.by_id.clear();
        self.tasks.shutdown().await;
    }

    /// The next call that came to its end; `Pending` when there is none, also when none is in flight.
    pub(super) fn poll_ended(&mut self, task: &mut Task<'_>) -> Poll<(u64, Outcome)> {
        loop {
            match self.tasks.poll_join_next_with_id(task) {
                Poll::Pending | Poll::Ready(None) => return Poll::Pending,
                Poll::Ready(Some(Ok((task, (id, outcome))))) => {
                    // A call that ended while its Cancel was on the way has nobody to be told; its id may be
                    // another call's by now.
                    if self.by_id.get(&id).is_some_and(|running| running.id() == task) {
                        self.by_id.remove(&id);
                        return Poll::Ready((id, outcome));
                    }
                }
                Poll::Ready(Some(Err(error))) if error.is_cancelled() => {}
                Poll::Ready(Some(Err(error))) => {
                    // A panic of the handler itself is an outcome. This one came when its future was dropped.
                    let id = self.by_id.iter().find(|(_, task)| task.id() == error.id()).map(|(id, _)| *id);
                    if let Some(id) = id {
                        self.by_id.remove(&id);
                        let error =
                            CallError::unknown(CauseKind::Bug, "the callee panicked while it was dropped");
                        return Poll::Ready((id, Err(error)));
                    }
                }
            }
        }
    }
}
