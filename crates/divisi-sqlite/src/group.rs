//! Those who commit together: a gate that says who may run, and a job that commits.
//!
//! A commit is one sync, and SQLite has one writer. So a transaction that comes while others wait becomes a member of
//! a group: savepoint (the first one needs none), closure, events, release; then everybody waits for the one COMMIT that
//! makes all their answers true. The commit job, a task of its own, commits as soon as nobody comes any more.
//!
//! One who is alone commits by itself ([`alone`]), since a task costs more hops between threads than a fast disk needs
//! for a sync. It lets those run first who could join it; the job is started as soon as somebody does, or as it goes
//! away. So a caller who is not polled or dropped holds up nobody.
//!
//! ```text
//! Idle ──enter──► Running ──leave──► Open ──enter──► Running … Open ──job, alone──► Committing ──► Idle
//! ```
//!
//! **Nobody is handed the connection.** Whoever leaves wakes the next one, which tries; one at a time, since one at a
//! time can run, and the threads beside have other work. One that was woken and does not come stalls nobody: the job
//! waits for it a little, once, and after the group all calls are woken. Consumers are tasks of the framework, which
//! always come. The gate's mutex is never held while SQL runs, and who may not enter leaves its waker under the very
//! lock that refused it, so no wake-up is lost.
//!
//! **Nobody waits for another process on a thread.** A backup or a command line tool may have the database's lock: whoever wants to begin
//! then waits like in front of an open group, and somebody looks again from time to time ([`held`]). A thread that waited could be the one
//! which another database needs to end a group, and that is what the other process may wait for.
//!
//! **Calls go before consumers.** While a call waits, for its turn or for its commit, at most one consumer's turn is in
//! a group, and a consumer that runs while a call waits can ask ([`Gate::is_awaited`]), so that it ends soon. A group with a call is not
//! held open for those who might come while consumers wait, only for whoever was woken for it, and its calls hear of the COMMIT first:
//! else they would stand behind its consumers in the runtime's queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use divisi_store::{Class, Committed, Draft, Position, Record, StoreError, StoreErrorKind};
use tokio::sync::{Notify, oneshot};

use crate::checkpoint::Checkpoints;
use crate::connect;
use crate::options::Options;
use crate::stats::Counters;
use crate::writer::Writer;

mod alone;
mod commit;
mod held;
mod turn;
mod waiting;

use alone::{Alone, Waits};
use commit::Start;
use waiting::Waiting;

/// Who may run.
pub(crate) struct Gate {
    state: Mutex<State>,
    pub(crate) options: Options,
    pub(crate) counters: Counters,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) listener: Mutex<Option<Arc<dyn Committed>>>,
    /// Told each time the gate becomes idle.
    idle: Notify,
    /// Whether a call waits for its turn or is in the open group, to look at without the lock.
    call_waits: AtomicBool,
}

struct State {
    phase: Phase,
    /// Here while nobody runs and nobody commits.
    writer: Option<Box<Writer>>,
    group: Group,
    waiting: Waiting,
    /// The commit job, while it waits for a member to leave.
    job: Option<Waker>,
    /// How long the last COMMIT took: a group may grow as long.
    last_commit: Duration,
    /// How long the last two kept their threads waiting.
    waits: Waits,
    /// The last group's members are being told: whoever is told first must not find its commit closed to the others.
    answering: bool,
    /// How many members the last group had: those who were told together come again together.
    members_before: usize,
    closed: bool,
    /// Since when another process has had the database's lock, and when that was last seen.
    held: Option<(Instant, Instant)>,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No transaction is open.
    Idle,
    /// A group is open and nobody runs.
    Open,
    /// A member runs.
    Running,
    /// Nobody may enter: COMMIT.
    Committing,
    /// Nobody may enter: another process has the database's lock.
    Held,
}

/// What the open group is made of so far.
struct Group {
    number: u64,
    opened: Instant,
    /// How many were let in.
    members: usize,
    /// How many of them were kept.
    kept: usize,
    /// How many of them were calls.
    calls: usize,
    /// How many of them were consumers.
    consumer_turns: usize,
    records: Vec<Arc<Record>>,
    answers: Answers,
    /// Who was let in last.
    class: Class,
    /// Whether an epoch begins with it.
    epoch: bool,
    /// Whether its commit job has been started.
    has_job: bool,
    /// The commit job is gone: the last to leave ends the group.
    abandoned: bool,
}

/// Who is told how a group ended: calls first. Behind the consumers of the group they would stand in the runtime's queue, and wait for each one's
/// next turn.
#[derive(Default)]
struct Answers {
    calls: Vec<oneshot::Sender<Ending>>,
    consumers: Vec<oneshot::Sender<Ending>>,
}

/// How a group ended.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// It is durable.
    Committed,
    /// Nothing of it happened.
    Undone(StoreError),
    /// It may be in the file after all.
    Unknown(StoreError),
}

/// How a member left.
pub(crate) enum Left {
    /// With changes, and these events.
    Kept(Vec<Arc<Record>>),
    /// With a new epoch.
    Epoch,
    /// All that it did is undone.
    Undone,
}

/// Where a member's answer will come from.
pub(crate) enum Answer {
    /// It is known.
    Now(Ending),
    /// The group's COMMIT brings it.
    Later(oneshot::Receiver<Ending>),
    /// Whoever waits for it commits, if it is still alone.
    Alone(Alone),
}

impl Gate {
    pub(crate) fn new(writer: Box<Writer>, checkpoints: Arc<Checkpoints>, options: Options) -> Gate {
        Gate {
            state: Mutex::new(State {
                phase: Phase::Idle,
                writer: Some(writer),
                group: Group::new(1),
                waiting: Waiting::default(),
                job: None,
                last_commit: Duration::ZERO,
                waits: Waits::default(),
                answering: false,
                members_before: 0,
                closed: false,
                held: None,
            }),
            options,
            counters: Counters::default(),
            checkpoints,
            listener: Mutex::new(None),
            idle: Notify::new(),
            call_waits: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call waits for the member that runs.
    pub(crate) fn is_awaited(&self) -> bool {
        self.call_waits.load(Ordering::Relaxed)
    }

    /// How many wait for their turn.
    pub(crate) fn waiting(&self) -> u64 {
        self.lock().waiting.count() as u64
    }

    /// Says whether a call waits. Called whenever that may have changed.
    fn say_whether_awaited(&self, state: &State) {
        let awaited = state.waiting.has_calls() || state.group.calls > 0;
        self.call_waits.store(awaited, Ordering::Relaxed);
    }

    /// Numbers and appends a member's events and releases its savepoint, if it has one.
    pub(crate) fn keep(
        &self,
        writer: &mut Writer,
        drafts: Vec<Draft>,
    ) -> Result<(Vec<Position>, Vec<Arc<Record>>), StoreError> {
        let mut records = Vec::with_capacity(drafts.len());
        let positions = writer.keep(drafts, self.options.clock.now(), &mut records)?;
        Ok((positions, records))
    }

    /// Gives the writer back; where the answer comes from.
    pub(crate) fn leave(self: &Arc<Self>, writer: Box<Writer>, left: Left) -> Answer {
        let broken = writer.broken().cloned();
        let mut state = self.lock();
        let group = &mut state.group;
        let changed = !matches!(left, Left::Undone);
        let answer = match broken {
            Some(cause) => Answer::Now(Ending::Undone(cause)),
            // What it saw is durable, so its refusal can be told at once.
            None if group.kept == 0 && !changed => Answer::Now(Ending::Committed),
            None => {
                let receiver = group.answers.add(group.class);
                if changed && !group.has_job && group.members == 1 && !group.abandoned {
                    Answer::Alone(Alone::new(Arc::clone(self), group.number, receiver))
                } else {
                    Answer::Later(receiver)
                }
            }
        };
        match left {
            Left::Kept(records) => {
                group.kept += 1;
                group.records.extend(records);
            }
            Left::Epoch => {
                group.kept += 1;
                group.epoch = true;
            }
            Left::Undone => {}
        }
        // Without a job, and nobody alone who will be polled, nobody else ends it.
        let is_alone = matches!(answer, Answer::Alone(_));
        let start = if is_alone { Start::default() } else { commit::start(self, &mut state) };
        let orphaned = !is_alone && !state.group.has_job;
        if state.group.abandoned || orphaned {
            let closing = state.close(writer);
            drop(state);
            commit::Closing::new(Arc::clone(self), closing).abandon();
            return answer;
        }
        state.phase = Phase::Open;
        state.writer = Some(writer);
        let next = state.next(&self.options);
        drop(state);
        start.now();
        next.into_iter().for_each(Waker::wake);
        answer
    }

    /// Puts the writer back after a group, tells its members by `answer`, and wakes those who wait.
    ///
    /// In this order, so that both come to the next group: the job waits for those who were woken, and the members are
    /// in front of them. A place is kept for each who was woken, so nobody is overtaken for ever.
    fn rest(&self, writer: Box<Writer>, answer: impl FnOnce()) {
        let mut state = self.lock();
        state.phase = Phase::Idle;
        state.writer = Some(writer);
        // One alone has nobody to wait for.
        state.answering = state.members_before > 1;
        let wakers = state.wake_for_idle();
        drop(state);
        Counters::add(&self.counters.ended, 1);
        answer();
        wakers.into_iter().for_each(Waker::wake);
        let job = {
            let mut state = self.lock();
            state.answering = false;
            state.job.take()
        };
        if let Some(job) = job {
            job.wake();
        }
        self.idle.notify_waiters();
    }

    /// Lets nobody in any more, waits for the group that is open, and brings the writer; `None` if it is gone already.
    pub(crate) async fn close(self: &Arc<Self>) -> Option<Box<Writer>> {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Registered before the look, or an end in between would not be seen.
            idle.as_mut().enable();
            let (writer, wakers, start) = {
                let mut state = self.lock();
                state.closed = true;
                let start = if state.phase == Phase::Open {
                    commit::start(self, &mut state)
                } else {
                    Start::default()
                };
                let wakers = state.wake_for_close();
                let writer = match (state.phase, state.writer.take()) {
                    (Phase::Idle, writer) => Some(writer),
                    (_, writer) => {
                        state.writer = writer;
                        None
                    }
                };
                (writer, wakers, start)
            };
            start.now();
            wakers.into_iter().for_each(Waker::wake);
            if let Some(writer) = writer {
                return writer;
            }
            idle.await;
        }
    }

    /// Tells the listener. One that panics is our bug; the commit it was told of stands, and it is told to forget.
    pub(crate) fn tell(&self, what: impl FnOnce(&dyn Committed)) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(listener) = listener else { return };
        let panicked = catch_unwind(AssertUnwindSafe(|| what(&*listener))).is_err();
        if panicked {
            tracing::error!("a listener of commits panicked; what it has in memory is thrown away");
            let _ = catch_unwind(AssertUnwindSafe(|| listener.forget()));
        }
    }
}

impl State {
    /// Nobody enters any more: what the job needs for COMMIT.
    fn close(&mut self, writer: Box<Writer>) -> (Box<Writer>, Group) {
        self.phase = Phase::Committing;
        self.members_before = self.group.members;
        let next = Group::new(self.group.number + 1);
        self.waiting.next_group();
        (writer, std::mem::replace(&mut self.group, next))
    }

    /// Whether the member that opens a group now may expect to be alone in it, on a disk so fast that it can commit by
    /// itself.
    fn expects_nobody(&self) -> bool {
        self.members_before <= 1 && !self.answering && self.waiting.expected() == 0 && self.waits.are_short()
    }

    /// A COMMIT took so long, and so long of that its thread did nothing.
    fn took(&mut self, took: Duration, waited: Duration) {
        self.last_commit = took;
        self.waits.add(waited);
    }

    /// Whether whoever could not begin waits: another process has the lock, and has not had it for too long.
    fn waits_for_lock(&mut self) -> bool {
        let now = Instant::now();
        let since = match self.held {
            Some((since, seen)) if now.duration_since(seen) < held::SAME => since,
            _ => now,
        };
        self.held = Some((since, now));
        now.duration_since(since) < connect::BUSY
    }

    /// Whether there is a place for one who has waited, or for one who just came: some are kept for those who were
    /// woken.
    fn has_room(&self, has_waited: bool, members_max: usize) -> bool {
        let kept = if has_waited { 0 } else { self.waiting.expected() };
        self.group.members + kept < members_max
    }

    /// Whether `class` may enter a group now, by the rule that calls go before consumers.
    fn admits(&self, class: Class) -> bool {
        match class {
            Class::Call => true,
            Class::Consumer | Class::Upkeep => {
                self.group.consumer_turns == 0 || !(self.waiting.has_calls() || self.group.calls > 0)
            }
        }
    }

    /// Whether somebody was woken for the open group who may enter it.
    fn expects(&self) -> bool {
        self.waiting.expected_calls() > 0 || (self.waiting.expected() > 0 && self.admits(Class::Consumer))
    }

    /// Whether nobody may join the open group any more.
    fn is_complete(&self, options: &Options) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.broken().is_some())
            || self.group.members >= options.group_members_max
            || (!options.inline && self.group.opened.elapsed() >= self.grows_for(options))
    }

    /// How long the open group may grow.
    fn grows_for(&self, options: &Options) -> Duration {
        options.group_time.max(self.last_commit)
    }

    /// Who goes on now that the group is open and nobody runs: the next of those who wait, or the commit job.
    fn next(&mut self, options: &Options) -> Option<Waker> {
        if self.is_complete(options) {
            return self.job.take();
        }
        if self.waiting.expected_calls() > 0 {
            return None;
        }
        let call = self.waiting.wake_call(self.group.number);
        if call.is_some() || self.expects() {
            return call;
        }
        let consumer =
            if self.admits(Class::Consumer) { self.waiting.wake_consumer(self.group.number) } else { None };
        consumer.or_else(|| self.job.take())
    }

    /// Wakes all calls: one who does not come must not keep another from coming.
    fn wake_for_idle(&mut self) -> Vec<Waker> {
        self.waiting.wake(self.group.number)
    }

    /// Wakes everybody, who are told that the store is closed.
    fn wake_for_close(&mut self) -> Vec<Waker> {
        let group = self.group.number;
        std::iter::from_fn(|| self.waiting.wake_call(group).or_else(|| self.waiting.wake_consumer(group)))
            .collect()
    }
}

impl Group {
    fn new(number: u64) -> Group {
        Group {
            number,
            opened: Instant::now(),
            members: 0,
            calls: 0,
            kept: 0,
            consumer_turns: 0,
            records: Vec::new(),
            answers: Answers::default(),
            class: Class::Call,
            epoch: false,
            has_job: false,
            abandoned: false,
        }
    }
}

impl Answers {
    fn add(&mut self, class: Class) -> oneshot::Receiver<Ending> {
        let (sender, receiver) = oneshot::channel();
        match class {
            Class::Call => self.calls.push(sender),
            Class::Consumer | Class::Upkeep => self.consumers.push(sender),
        }
        receiver
    }

    /// Tells all of them, once.
    fn tell(&mut self, ending: &Ending) {
        for waiting in self.calls.drain(..).chain(self.consumers.drain(..)) {
            // Who has gone away does not hear it; that changes nothing.
            let _ = waiting.send(ending.clone());
        }
    }
}

impl Answer {
    /// Waits for it.
    pub(crate) async fn wait(self) -> Ending {
        let told = match self {
            Answer::Now(ending) => return ending,
            Answer::Later(receiver) => receiver.await,
            Answer::Alone(alone) => alone.commit().await,
        };
        told.unwrap_or_else(|_| {
            Ending::Unknown(StoreError::new(StoreErrorKind::Other, "a group ended without an answer"))
        })
    }
}
