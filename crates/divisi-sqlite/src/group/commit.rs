//! The commit job: lets a group grow while somebody comes, commits it, and answers.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use divisi_store::{StoreError, StoreErrorKind, failpoint};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task;

use super::{Ending, Gate, Group, Phase, State, turn};
use crate::stats::Counters;
use crate::writer::{CommitFailed, Writer};

/// How often the job looks in vain for somebody who was woken, where time must not decide.
const LOOKS_IN_VAIN_MAX: u32 = 64;

/// The share of the last COMMIT's time for which a group is held open for the members of the last one.
const COMES_AGAIN_SHARE: u32 = 8;

/// A job that is to be started as soon as the gate is not locked any more: a runtime that shuts down drops it at once, and one that is
/// dropped looks at the gate.
#[must_use]
#[derive(Default)]
pub(super) struct Start(Option<(Handle, Job)>);

impl Start {
    /// Starts it, if there is one.
    pub(super) fn now(self) {
        if let Some((runtime, new)) = self.0 {
            // Owned by the gate: it ends with its group, and one that is dropped ends the group.
            drop(runtime.spawn(job(new)));
        }
    }
}

/// Gives the group that is open a job, unless it has one. Without a runtime there is none: `group.has_job` says it.
pub(super) fn start(gate: &Arc<Gate>, state: &mut State) -> Start {
    if state.group.has_job {
        return Start(None);
    }
    let new =
        turn::runtime().map(|runtime| (runtime, Job { gate: Arc::clone(gate), number: state.group.number }));
    state.group.has_job = new.is_some();
    Start(new)
}

/// Ends the group when it is dropped before it has done so itself.
struct Job {
    gate: Arc<Gate>,
    number: u64,
}

enum Look {
    /// Somebody came since the last look.
    Grows,
    /// Somebody is on the way; until then at the most.
    Waits(Instant),
    /// Commit now.
    Close(Closing),
    /// Somebody else has ended the group.
    Gone,
}

async fn job(job: Job) {
    let mut seen = 0;
    let mut in_vain = 0;
    let closing = loop {
        match poll_fn(|cx| job.look(cx.waker(), &mut seen, &mut in_vain)).await {
            Look::Grows => task::yield_now().await,
            Look::Waits(until) => job.wait(until).await,
            Look::Close(closing) => break closing,
            Look::Gone => return,
        }
    };
    let inline = job.gate.options.inline;
    let multi = turn::runtime().is_some_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    let fast = job.gate.lock().waits.are_short();
    if inline || (multi && fast) {
        closing.commit();
    } else if multi {
        task::block_in_place(|| closing.commit());
    } else {
        // It goes on when this task is dropped; a panic in it has already undone the group.
        let _ = task::spawn_blocking(|| closing.commit()).await;
    }
}

impl Job {
    /// Waits until nobody is on the way any more.
    async fn wait(&self, until: Instant) {
        let mut registered = false;
        let told = poll_fn(|cx| {
            let mut state = self.gate.lock();
            let on_the_way =
                state.group.number == self.number && state.expects() && state.phase != Phase::Committing;
            if std::mem::replace(&mut registered, true) || !on_the_way {
                return Poll::Ready(());
            }
            state.job = Some(cx.waker().clone());
            Poll::Pending
        });
        // Whoever does not come has had its time.
        let _ = tokio::time::timeout_at(until.into(), told).await;
    }

    fn look(&self, waker: &Waker, seen: &mut usize, in_vain: &mut u32) -> Poll<Look> {
        let gate = &self.gate;
        let mut state = gate.lock();
        if state.group.number != self.number {
            return Poll::Ready(Look::Gone);
        }
        match state.phase {
            Phase::Running => {
                state.job = Some(waker.clone());
                return Poll::Pending;
            }
            Phase::Open => {}
            Phase::Idle | Phase::Committing | Phase::Held => return Poll::Ready(Look::Gone),
        }
        let options = &gate.options;
        if state.answering && !options.inline {
            // Who tells them may need this very core: it says when it is done.
            state.job = Some(waker.clone());
            return Poll::Pending;
        }
        let grew = state.group.members > *seen || state.answering;
        *seen = state.group.members;
        *in_vain = if grew { 0 } else { *in_vain + 1 };
        if !state.is_complete(options) {
            // Those who were told together are about to come again. It costs one who does not an eighth of a sync at the
            // most, and one alone nothing.
            let comes_again = !options.inline
                && state.group.members < state.members_before
                && state.group.opened.elapsed() < state.last_commit / COMES_AGAIN_SHARE;
            // Whoever might come stands behind all that the runtime has to do, which is much while consumers wait. The call that is in the
            // group would wait for it; another may be in the next one. Where a sync is dear, those who were told together stay together.
            let holds_up_call = state.group.calls > 0 && state.waiting.has_consumers();
            if (grew && !holds_up_call) || (comes_again && !(holds_up_call && state.waits.are_short())) {
                return Poll::Ready(Look::Grows);
            }
            if state.expects() && options.inline && *in_vain <= LOOKS_IN_VAIN_MAX {
                return Poll::Ready(Look::Grows);
            }
            if state.expects() && !options.inline {
                return Poll::Ready(Look::Waits(state.group.opened + state.grows_for(options)));
            }
        }
        let Some(writer) = state.writer.take() else { return Poll::Ready(Look::Gone) };
        let closing = state.close(writer);
        drop(state);
        Poll::Ready(Look::Close(Closing::new(Arc::clone(gate), closing)))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if state.group.number != self.number {
            return;
        }
        match (state.phase, state.writer.take()) {
            (Phase::Open, Some(writer)) => {
                let closing = state.close(writer);
                drop(state);
                Closing::new(Arc::clone(&self.gate), closing).abandon();
            }
            (Phase::Running, writer) => {
                state.writer = writer;
                state.group.abandoned = true;
            }
            (_, writer) => state.writer = writer,
        }
    }
}

/// A group that nobody enters any more. Dropped without a commit it is undone.
pub(super) struct Closing {
    gate: Arc<Gate>,
    parts: Option<(Box<Writer>, Group)>,
    stage: Stage,
}

/// How far a commit has come, should a panic end it.
#[derive(Clone, Copy)]
enum Stage {
    Before,
    During,
    After,
}

impl Closing {
    pub(super) fn new(gate: Arc<Gate>, parts: (Box<Writer>, Group)) -> Closing {
        Closing { gate, parts: Some(parts), stage: Stage::Before }
    }

    /// The job is gone. A runtime that shuts down must not lose what nobody has been promised, but may: it is undone.
    pub(super) fn abandon(self) {
        drop(self);
    }

    /// Commits, tells the listener, gives the writer back, answers.
    pub(super) fn commit(mut self) {
        let Some((writer, group)) = &mut self.parts else { return };
        let gate = Arc::clone(&self.gate);
        let counters = &gate.counters;
        if group.kept == 0 {
            writer.undo_nothing();
            Counters::add(&counters.undone, 1);
            return self.end(Ending::Committed);
        }
        let (began, worked) = (Instant::now(), thread_time());
        self.stage = Stage::During;
        let committed = writer.commit();
        let (took, worked) = (began.elapsed(), thread_time().saturating_sub(worked));
        let ending = match committed {
            Ok(()) => {
                self.stage = Stage::After;
                failpoint::hit("commit.after");
                Counters::add(&counters.commits, 1);
                Counters::add(&counters.members, group.kept as u64);
                counters.members_max.fetch_max(group.kept as u64, Relaxed);
                let records = std::mem::take(&mut group.records);
                if group.epoch {
                    // Not of the records too: between the two words those of the new epoch would be taken for the old.
                    gate.tell(|listener| listener.forget());
                } else if !records.is_empty() {
                    gate.tell(|listener| listener.committed(&records));
                }
                Ending::Committed
            }
            Err(CommitFailed::Undone(error)) => {
                writer.undo_group();
                Counters::add(&counters.undone, 1);
                Ending::Undone(error)
            }
            Err(CommitFailed::Unknown(error)) => {
                writer.give_up();
                gate.tell(|listener| listener.forget());
                Counters::add(&counters.unknown, 1);
                Ending::Unknown(error)
            }
        };
        gate.lock().took(took, took.saturating_sub(worked));
        self.end(ending);
    }

    /// Gives the writer back and answers.
    fn end(&mut self, ending: Ending) {
        let Some((mut writer, group)) = self.parts.take() else { return };
        let mut answers = group.answers;
        self.gate.counters.wal_pages.store(writer.wal_pages(), Relaxed);
        if writer.checkpoint_due() && self.gate.checkpoints.due() {
            // Nobody in the group waits for it, only the next.
            answers.tell(&ending);
            writer.checkpoint();
            Counters::add(&self.gate.counters.checkpoints, 1);
        }
        self.gate.rest(writer, || answers.tell(&ending));
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let Some((writer, _)) = &mut self.parts else { return };
        let ending = match self.stage {
            Stage::Before => {
                writer.undo_group();
                Counters::add(&self.gate.counters.undone, 1);
                Ending::Undone(given_up())
            }
            Stage::During => {
                writer.give_up();
                self.gate.tell(|listener| listener.forget());
                Counters::add(&self.gate.counters.unknown, 1);
                Ending::Unknown(given_up())
            }
            Stage::After => {
                self.gate.tell(|listener| listener.forget());
                Ending::Committed
            }
        };
        self.end(ending);
    }
}

/// How long this thread has had a processor.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

fn given_up() -> StoreError {
    StoreError::new(
        StoreErrorKind::GroupBroken,
        "the commit that this transaction waited for was given up; try again",
    )
}
