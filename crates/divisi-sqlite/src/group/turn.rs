//! Waiting for one's turn.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use divisi_store::{Class, StoreError, StoreErrorKind};
use tokio::runtime::Handle;

use super::commit::{self, Start};
use super::{Gate, Left, Phase, held};
use crate::connect;
use crate::transaction::Member;
use crate::writer::Writer;

/// A transaction that wants to begin. Dropped, it leaves its place in the queue.
pub(crate) struct Turn {
    gate: Arc<Gate>,
    class: Class,
    ticket: Option<u64>,
}

impl Gate {
    /// Waits for a turn to write.
    pub(crate) fn turn(self: &Arc<Self>, class: Class) -> Turn {
        Turn { gate: Arc::clone(self), class, ticket: None }
    }
}

impl Future for Turn {
    type Output = Result<Member, StoreError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let turn = &mut *self;
        let gate = Arc::clone(&turn.gate);
        let mut state = gate.lock();
        let group = state.group.number;
        if let Some(ticket) = turn.ticket {
            state.waiting.leave(turn.class, ticket, group);
        }
        if state.closed {
            return Poll::Ready(Err(closed()));
        }
        let enters = match state.phase {
            Phase::Idle => true,
            Phase::Open => {
                state.has_room(turn.ticket.is_some(), gate.options.group_members_max)
                    && state.admits(turn.class)
                    // A broken group takes nobody in.
                    && state.writer.as_ref().is_some_and(|writer| writer.broken().is_none())
            }
            Phase::Running | Phase::Committing | Phase::Held => false,
        };
        let writer = if enters { state.writer.take() } else { None };
        let Some(mut writer) = writer else {
            let ticket = match turn.ticket {
                Some(ticket) => ticket,
                None => state.waiting.ticket(),
            };
            turn.ticket = Some(ticket);
            state.waiting.sleep(turn.class, ticket, task.waker().clone());
            gate.say_whether_awaited(&state);
            let (mut start, mut next) = (Start::default(), None);
            if state.phase == Phase::Open {
                // Who is refused waits for the group's end.
                start = commit::start(&gate, &mut state);
                next = state.next(&gate.options);
            }
            drop(state);
            start.now();
            next.into_iter().for_each(Waker::wake);
            return Poll::Pending;
        };
        let place = turn.ticket.take();
        let opens = state.phase == Phase::Idle;
        state.phase = Phase::Running;
        state.group.members += 1;
        state.group.class = turn.class;
        match turn.class {
            Class::Call => state.group.calls += 1,
            Class::Consumer | Class::Upkeep => state.group.consumer_turns += 1,
        }
        gate.say_whether_awaited(&state);
        let alone = state.expects_nobody();
        if opens {
            state.group.opened = Instant::now();
        }
        drop(state);
        if opens {
            if let Err(error) = open(&mut writer, gate.options.inline) {
                let mut state = gate.lock();
                state.group.members = 0;
                state.group.calls = 0;
                state.group.consumer_turns = 0;
                let may_wait = error.kind == StoreErrorKind::Busy && !gate.options.inline;
                let runtime = runtime().filter(|_| may_wait && state.waits_for_lock());
                let Some(runtime) = runtime else {
                    drop(state);
                    gate.rest(writer, || ());
                    return Poll::Ready(Err(if may_wait { held::too_long(error) } else { error }));
                };
                state.phase = Phase::Held;
                state.writer = Some(writer);
                let ticket = place.unwrap_or_else(|| state.waiting.ticket());
                turn.ticket = Some(ticket);
                state.waiting.sleep(turn.class, ticket, task.waker().clone());
                gate.say_whether_awaited(&state);
                drop(state);
                held::look_later(&gate, &runtime);
                return Poll::Pending;
            }
            gate.lock().held = None;
            if !alone {
                let start = commit::start(&gate, &mut gate.lock());
                start.now();
            }
        }
        match writer.enter() {
            Ok(()) => Poll::Ready(Ok(Member::new(gate, writer))),
            Err(error) => {
                gate.leave(writer, Left::Undone);
                Poll::Ready(Err(error))
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.gate.lock();
            let group = state.group.number;
            state.waiting.leave(self.class, ticket, group);
            self.gate.say_whether_awaited(&state);
            // It may have been woken in place of another.
            let next = match state.phase {
                Phase::Open => state.next(&self.gate.options),
                Phase::Idle if state.waiting.expected() == 0 => state.waiting.wake_consumer(group),
                _ => None,
            };
            drop(state);
            next.into_iter().for_each(Waker::wake);
        }
    }
}

/// Opens a group. Who has no runtime waits for another process' lock on its thread.
fn open(writer: &mut Writer, inline: bool) -> Result<(), StoreError> {
    let began = Instant::now();
    loop {
        match writer.open_group() {
            Err(error)
                if error.kind == StoreErrorKind::Busy
                    && !inline
                    && runtime().is_none()
                    && began.elapsed() < connect::BUSY =>
            {
                std::thread::sleep(held::LOOK_EVERY);
            }
            opened => return opened,
        }
    }
}

/// Whether a commit job can be a task.
pub(super) fn runtime() -> Option<Handle> {
    Handle::try_current().ok()
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store has been closed")
}
