//! The task that reads and writes for a connection's callers.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use divisi_contract::{CallError, CauseKind};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::connection::{Connection, State};
use crate::frame::{Decoder, Frame, FrameError};
use crate::limits::Limits;
use crate::message::{self, Kind, MessageError};
use crate::outgoing::Outgoing;

/// Reads and writes for one connection until its end; then every call on it has an outcome.
pub(super) struct ConnectionTask {
    connection: Arc<Connection>,
    read: OwnedReadHalf,
    write: Arc<OwnedWriteHalf>,
    decoder: Decoder,
    /// What is being written; what callers put in meanwhile comes after it.
    out: Outgoing,
    /// Whether callers had their chance to add to what is written next.
    gathered: bool,
    /// Woken once the connection's state is let go of.
    wakers: Vec<Waker>,
    pulse: Pulse,
    deadlines: Pin<Box<Sleep>>,
    /// For when `deadlines` is set.
    look_at: Option<std::time::Instant>,
    /// Says that the connection takes no more calls; gone once it has been said.
    no_more_calls: Option<oneshot::Sender<String>>,
}

/// Whether the server is there.
struct Pulse {
    timer: Pin<Box<Sleep>>,
    heard: bool,
    asked: bool,
    limits: Limits,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the server closed it")]
    Closed,
    #[error("the server shut down")]
    Drained,
    #[error("the server was silent for {silent_ms} ms")]
    Silent { silent_ms: u128 },
    #[error("{}", .0.kind())]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl ConnectionTask {
    pub(super) fn new(
        connection: Arc<Connection>,
        read: OwnedReadHalf,
        write: Arc<OwnedWriteHalf>,
        decoder: Decoder,
        limits: Limits,
        no_more_calls: oneshot::Sender<String>,
    ) -> ConnectionTask {
        let timer = Box::pin(tokio::time::sleep(limits.ping_after));
        ConnectionTask {
            connection,
            read,
            write,
            decoder,
            out: Outgoing::default(),
            gathered: false,
            wakers: Vec::new(),
            pulse: Pulse { timer, heard: false, asked: false, limits },
            deadlines: Box::pin(tokio::time::sleep_until(Instant::now())),
            look_at: None,
            no_more_calls: Some(no_more_calls),
        }
    }

    /// Runs until the connection's end.
    pub(super) async fn run(mut self) {
        let end = std::future::poll_fn(|task| self.poll(task)).await;
        let why = end.to_string();
        tracing::debug!(end = why, "a connection ended: {why}");
        self.finish(&why);
        self.take_no_more_calls(why);
    }

    /// Says that the connection takes no more calls, the first time that it is asked to.
    fn take_no_more_calls(&mut self, why: String) {
        if let Some(no_more_calls) = self.no_more_calls.take() {
            // Nobody listens when the client is being dropped.
            let _ = no_more_calls.send(why);
        }
    }

    fn finish(&mut self, why: &str) {
        let mut state = self.connection.state();
        if std::mem::replace(&mut state.over, true) {
            return;
        }
        state.socket = None;
        let written = state.written;
        let wakers = &mut self.wakers;
        state.calls.complete_where(
            |waiting| Some(State::broken(written, waiting.end, why)),
            |_, waker| wakers.push(waker),
        );
        drop(state);
        self.wake();
        self.connection.space().notify_waiters();
    }

    fn poll(&mut self, task: &mut Task<'_>) -> Poll<End> {
        match self.poll_moves(task) {
            Ok(()) => {}
            Err(end) => return Poll::Ready(end),
        }
        self.poll_deadlines(task);
        self.poll_pulse(task)
    }

    fn poll_moves(&mut self, task: &mut Task<'_>) -> Result<(), End> {
        loop {
            match pin!(self.read.read_buf(self.decoder.space())).poll(task) {
                Poll::Ready(Ok(0)) => return Err(self.closed()),
                Poll::Ready(Ok(_)) => {
                    self.pulse.heard = true;
                    self.take_frames()?;
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => return self.poll_write(task),
            }
        }
    }

    fn closed(&self) -> End {
        if self.no_more_calls.is_none() { End::Drained } else { End::Closed }
    }

    fn take_frames(&mut self) -> Result<(), End> {
        let connection = Arc::clone(&self.connection);
        let mut state = connection.state();
        let taken = loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    if let Err(end) = self.take(&mut state, frame) {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        drop(state);
        self.wake();
        taken
    }

    fn take(&mut self, state: &mut State, frame: Frame) -> Result<(), End> {
        match Kind::of(frame.kind) {
            Some(Kind::Answer) => match message::parse_answer(frame.body) {
                Ok(outcome) => self.wakers.extend(state.calls.complete(frame.id, outcome)),
                Err(error) => {
                    let cause = CallError::unknown(CauseKind::Malformed, error.to_string());
                    self.wakers.extend(state.calls.complete(frame.id, Err(cause)));
                    return Err(error.into());
                }
            },
            // A server that asks without end and takes no answers gets none; it hears from its callers.
            Some(Kind::Ping) if state.out.len() < self.connection.write_buffer_max() => {
                state.queued += message::put_bare(&mut state.out, Kind::Pong, frame.id) as u64;
            }
            Some(Kind::Drain) => {
                state.draining = true;
                self.take_no_more_calls("the server is shutting down".to_owned());
            }
            // That something came was all that mattered of a Pong. What only a client says, says a newer server
            // perhaps; a kind that is not known here is passed over.
            Some(_) | None => {}
        }
        Ok(())
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn poll_write(&mut self, task: &mut Task<'_>) -> Result<(), End> {
        loop {
            let mut written = 0;
            let write = self.out.poll_write((*self.write).as_ref(), task, &mut written);
            let mut state = self.connection.state();
            state.written += written;
            state.writing = !self.out.is_empty();
            if let Poll::Ready(result) = write {
                result?;
            }
            if state.writing || state.out.is_empty() {
                if state.draining && state.calls.waiting() == 0 && !state.writing && state.out.is_empty() {
                    return Err(End::Drained);
                }
                self.gathered = false;
                self.look_at = state.look_at;
                match &mut state.task {
                    Some(waker) => waker.clone_from(task.waker()),
                    none => *none = Some(task.waker().clone()),
                }
                return Ok(());
            }
            if !self.gathered {
                self.gathered = true;
                drop(state);
                // Lets every caller that is ready go first, so that their requests leave in one write.
                let _ = pin!(tokio::task::yield_now()).poll(task);
                return Ok(());
            }
            self.gathered = false;
            std::mem::swap(&mut self.out, &mut state.out);
            state.writing = true;
            drop(state);
            self.connection.space().notify_waiters();
        }
    }

    fn poll_deadlines(&mut self, task: &mut Task<'_>) {
        while let Some(at) = self.look_at {
            if self.deadlines.deadline() != at.into() {
                self.deadlines.as_mut().reset(at.into());
            }
            if self.deadlines.as_mut().poll(task).is_pending() {
                return;
            }
            self.expire();
        }
    }

    /// Ends the calls whose deadline has passed.
    fn expire(&mut self) {
        let now = divisi_call::now();
        let connection = Arc::clone(&self.connection);
        let mut state = connection.state();
        let State { calls, out, queued, .. } = &mut *state;
        calls.complete_where(
            |waiting| {
                waiting.deadline.passed(now).then(|| {
                    Err(CallError::unknown(
                        CauseKind::DeadlinePassed,
                        "the deadline passed before the answer came",
                    ))
                })
            },
            |id, waker| {
                *queued += message::put_bare(out, Kind::Cancel, id) as u64;
                self.wakers.push(waker);
            },
        );
        state.look_at = state.calls.soonest();
        self.look_at = state.look_at;
        // The cancellations are written in the next round, which the task asks for itself.
        let again = if state.out.is_empty() { None } else { state.task.take() };
        drop(state);
        self.wakers.extend(again);
        self.wake();
    }

    fn poll_pulse(&mut self, task: &mut Task<'_>) -> Poll<End> {
        let Pulse { timer, heard, asked, limits } = &mut self.pulse;
        if *asked && std::mem::take(heard) {
            *asked = false;
            timer.as_mut().reset(Instant::now() + limits.ping_after);
        }
        while timer.as_mut().poll(task).is_ready() {
            if std::mem::take(heard) {
                timer.as_mut().reset(Instant::now() + limits.ping_after);
                continue;
            }
            if *asked {
                let silent_ms = (limits.ping_after + limits.pong_within).as_millis();
                return Poll::Ready(End::Silent { silent_ms });
            }
            *asked = true;
            timer.as_mut().reset(Instant::now() + limits.pong_within);
            let mut state = self.connection.state();
            state.queued += message::put_bare(&mut state.out, Kind::Ping, 0) as u64;
            let again = state.task.take();
            drop(state);
            if let Some(again) = again {
                again.wake();
            }
        }
        Poll::Pending
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        // Also when it is aborted: nobody may wait for an answer that will not come.
        self.finish("this side closed it");
    }
}
