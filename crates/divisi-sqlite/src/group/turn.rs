//! Waiting for one's turn.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use divisi_store::{Class, StoreError, StoreErrorKind};
use tokio::runtime::Handle;

use super::{Gate, Left, Phase, commit};
use crate::transaction::Member;

/// How often one looks before it sleeps: about twenty microseconds.
const LOOKS_MAX: u32 = 1_000;

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

impl Gate {
    /// Looks a little whether the member that runs is about to leave: it takes some ten microseconds, and to be woken
    /// on another thread takes longer. On one thread nobody could leave meanwhile.
    fn linger(&self) {
        if self.options.inline {
            return;
        }
        let mut looks = 0;
        while looks < LOOKS_MAX && self.running.load(Ordering::Acquire) {
            std::hint::spin_loop();
            looks += 1;
        }
    }
}

impl Future for Turn {
    type Output = Result<Member, StoreError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let turn = &mut *self;
        let gate = Arc::clone(&turn.gate);
        gate.linger();
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
            Phase::Running | Phase::Committing => false,
        };
        let writer = if enters { state.writer.take() } else { None };
        let Some(mut writer) = writer else {
            let ticket = match turn.ticket {
                Some(ticket) => ticket,
                None => state.waiting.ticket(),
            };
            turn.ticket = Some(ticket);
            if state.phase == Phase::Open {
                // Who is refused waits for the group's end.
                commit::start(&gate, &mut state);
            }
            state.waiting.sleep(turn.class, ticket, task.waker().clone());
            return Poll::Pending;
        };
        turn.ticket = None;
        let opens = state.phase == Phase::Idle;
        state.phase = Phase::Running;
        gate.running.store(true, Ordering::Relaxed);
        state.group.members += 1;
        if turn.class == Class::Consumer {
            state.group.consumer_turns += 1;
        }
        let alone = state.expects_nobody();
        if opens {
            state.group.opened = Instant::now();
        }
        drop(state);
        if opens {
            if let Err(error) = writer.open_group() {
                let mut state = gate.lock();
                state.group.members = 0;
                state.group.consumer_turns = 0;
                drop(state);
                gate.rest(writer, || ());
                return Poll::Ready(Err(error));
            }
            if !alone {
                commit::start(&gate, &mut gate.lock());
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
