//! One connection, seen from the server: a single task reads, answers and writes.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use bytes::{Buf, Bytes};
use divisi_call::{BoxFuture, in_process};
use divisi_contract::error::Chain;
use divisi_contract::{CallError, CauseKind, Context, Deadline, ServiceName};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tracing::{Instrument, debug, warn};

use super::greet;
use super::in_flight::{InFlight, Outcome};
use super::offers::Offers;
use super::{Phase, Tally};
use crate::frame::{Decoder, Frame, FrameError};
use crate::handshake::HandshakeError;
use crate::limits::{FRAME_MIN, Limits};
use crate::message::{self, Kind, MessageError, RequestHead};
use crate::outgoing::Outgoing;

/// A connection that is being served.
struct Connection {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    decoder: Decoder,
    out: Outgoing,
    in_flight: InFlight,
    offers: Arc<Offers>,
    limits: Arc<Limits>,
    tally: Tally,
    /// The largest frame that the client takes.
    answer_max: usize,
    /// Who called last: a peer calls in few names, and each is made once.
    caller: ServiceName,
    /// Ready when the server shuts down; taken when that has been seen.
    drain: Option<BoxFuture<'static, ()>>,
    idle: Pin<Box<Sleep>>,
    /// Whether a byte moved since `idle` was set.
    moved: bool,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client closed it")]
    Closed,
    #[error("it was idle for too long")]
    Idle,
    #[error("the server shut down and its calls took too long")]
    Cut,
    #[error("it failed")]
    Io(#[from] std::io::Error),
    #[error("the client broke the protocol")]
    Frame(#[from] FrameError),
    #[error("the client broke the protocol")]
    Message(#[from] MessageError),
    #[error("the client used the id {id} for two calls at once")]
    SameId { id: u64 },
}

/// Serves one connection until its end.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    offers: Arc<Offers>,
    limits: Arc<Limits>,
    tally: Tally,
    phase: watch::Receiver<Phase>,
) {
    let greeting = greet::greet(stream, &offers, &limits);
    let greeted = tokio::select! {
        greeted = tokio::time::timeout(limits.handshake_within, greeting) => greeted,
        // Who has not greeted has asked for nothing; a shutdown does not wait for it.
        () = wait_for(phase.clone(), Phase::Draining) => return,
    };
    let greeted = greeted.unwrap_or(Err(HandshakeError::TimeOut));
    let (read, write, decoder, hello) = match greeted {
        Ok(greeted) => greeted,
        // A look whether the port is open, or a client that gave up: nothing to worry about.
        Err(HandshakeError::Silent | HandshakeError::Io(_)) => return,
        Err(error) => {
            let error = Chain(&error);
            warn!(peer.address = %peer, %error, "closed a connection from {peer} that did not greet: {error}");
            return;
        }
    };
    debug!(peer.address = %peer, peer.name = hello.name, "`{}` connected from {peer}", hello.name);
    let mut connection = Connection {
        read,
        write,
        decoder,
        out: Outgoing::default(),
        in_flight: InFlight::default(),
        answer_max: usize::try_from(hello.frame_max).unwrap_or(usize::MAX).clamp(FRAME_MIN, limits.frame_max),
        caller: ServiceName::from(hello.name.as_str()),
        drain: Some(Box::pin(wait_for(phase.clone(), Phase::Draining))),
        idle: Box::pin(tokio::time::sleep(limits.idle_max)),
        moved: false,
        offers,
        limits,
        tally,
    };
    let end = tokio::select! {
        biased;
        end = std::future::poll_fn(|task| connection.poll(task)) => end,
        () = wait_for(phase, Phase::Cut) => End::Cut,
    };
    let mut in_flight = std::mem::take(&mut connection.in_flight);
    // The socket first: the client need not wait for it.
    drop(connection);
    in_flight.shut_down().await;
    match &end {
        End::Closed | End::Io(_) | End::Idle | End::Cut => {
            debug!(peer.address = %peer, "connection of `{}` from {peer} ended: {}", hello.name, Chain(&end));
        }
        End::Frame(_) | End::Message(_) | End::SameId { .. } => {
            let error = Chain(&end);
            warn!(peer.address = %peer, %error, "cut the connection of `{}` from {peer}: {error}", hello.name);
        }
    }
}

async fn wait_for(mut phase: watch::Receiver<Phase>, wanted: Phase) {
    // A sender that is gone means that the server is: as good as wanted.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

impl Connection {
    /// Reads, answers and writes until nothing moves; ready when the connection is over.
    fn poll(&mut self, task: &mut Task<'_>) -> Poll<End> {
        match self.poll_moves(task) {
            Ok(()) => self.poll_idle(task),
            Err(end) => Poll::Ready(end),
        }
    }

    fn poll_moves(&mut self, task: &mut Task<'_>) -> Result<(), End> {
        self.poll_drain(task);
        loop {
            let all_taken = self.take_frames()?;
            // After the frames, not before: calls that have just begun to wait must be able to wake this task.
            while let Poll::Ready((id, outcome)) = self.in_flight.poll_ended(task) {
                self.answer(id, outcome);
            }
            let mut written = 0;
            let write = self.out.poll_write(self.write.as_ref(), task, &mut written);
            self.moved |= written > 0;
            if let Poll::Ready(result) = write {
                result?;
            }
            if self.is_behind() {
                // The client does not take its answers: it is not asked for more until it does.
                return Ok(());
            }
            if !all_taken {
                continue;
            }
            match pin!(self.read.read_buf(self.decoder.space())).poll(task) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(End::Closed),
                Poll::Ready(Ok(_)) => self.moved = true,
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Whether answers wait that the client does not take.
    fn is_behind(&self) -> bool {
        self.out.len() >= self.limits.write_buffer_max
    }

    /// Handles what has been read; `false` when it stopped because too many answers wait.
    fn take_frames(&mut self) -> Result<bool, End> {
        while !self.is_behind() {
            match self.decoder.next_frame()? {
                Some(frame) => self.take(frame)?,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    fn take(&mut self, frame: Frame) -> Result<(), End> {
        let id = frame.id;
        match Kind::of(frame.kind) {
            Some(Kind::Request) => {
                if self.in_flight.contains(id) {
                    return Err(End::SameId { id });
                }
                if let Some(outcome) = self.start(id, frame.body)? {
                    self.answer(id, outcome);
                }
            }
            Some(Kind::Cancel) => self.in_flight.cancel(id),
            Some(Kind::Ping) => {
                message::put_bare(&mut self.out, Kind::Pong, id);
            }
            // What only a server says, or says again, changes nothing here.
            Some(_) => {}
            None if id == 0 || self.in_flight.contains(id) => {}
            None => {
                let text = format!("frames of the kind {:#04x} are not known here", frame.kind);
                self.answer(id, Err(CallError::not_run(CauseKind::NoSuchMethod, text)));
            }
        }
        Ok(())
    }

    /// Begins a call. A handler that is ready at once has its outcome here; one that waits becomes a task.
    fn start(&mut self, id: u64, mut body: Bytes) -> Result<Option<Outcome>, End> {
        let (head, offset) = RequestHead::parse(&body)?;
        let refuse = |kind, text: String| Ok(Some(Err(CallError::not_run(kind, text))));
        if self.drain.is_none() {
            return refuse(CauseKind::Draining, "the callee is shutting down".to_owned());
        }
        if self.in_flight.len() >= self.limits.calls_in_flight_max {
            let max = self.limits.calls_in_flight_max;
            return refuse(
                CauseKind::Overloaded,
                format!("the callee has {max} calls in flight on this connection, which is its limit"),
            );
        }
        let Some((dispatch, contract, method)) = self.offers.find(head.contract, head.method) else {
            return refuse(
                CauseKind::NoSuchMethod,
                format!("the callee has no method {} of a contract {}", head.method, head.contract),
            );
        };
        let deadline = match head.left {
            None => Deadline::NEVER,
            Some(left) if left.is_zero() => {
                return refuse(
                    CauseKind::DeadlinePassed,
                    "the deadline had passed before the call arrived".to_owned(),
                );
            }
            Some(left) => Deadline::after(divisi_call::now(), left),
        };
        if self.caller.as_str() != head.caller {
            self.caller = ServiceName::from(head.caller);
        }
        let span = tracing::info_span!(
            "call",
            call.contract = contract,
            call.method = method,
            call.caller = self.caller.as_str(),
            trace.id = format_args!("{:032x}", head.trace.trace_id),
        );
        let mut cx = Context::root(&self.caller).with_trace(head.trace).with_deadline(deadline);
        if let Some(key) = head.key {
            // The caller's, not the handler's: it does not go along with what the handler calls.
            cx = cx.with_key(key).for_call(&self.caller, true);
        }
        body.advance(offset);
        let dispatch = Arc::clone(dispatch);
        let Some(mut handler) = guarded(|| dispatch.dispatch(method, cx, body)) else {
            return Ok(Some(Err(CallError::unknown(CauseKind::Bug, "the callee panicked"))));
        };
        if !span.is_disabled() {
            handler = Box::pin(handler.instrument(span));
        }
        // The waker does nothing: a handler that is not ready is polled again by the task it becomes.
        let mut task = Task::from_waker(Waker::noop());
        let first = pin!(in_process::within(Deadline::NEVER, &mut handler)).poll(&mut task);
        match first {
            Poll::Ready(outcome) => Ok(Some(outcome)),
            Poll::Pending => {
                self.in_flight.start(id, deadline, handler);
                Ok(None)
            }
        }
    }

    fn answer(&mut self, id: u64, outcome: Outcome) {
        self.tally.answered();
        // Requests are not read any more then; what ends now was begun before.
        let outcome = if self.out.len() < self.limits.unread_max { outcome } else { unread(outcome) };
        message::put_answer(&mut self.out, id, outcome, self.answer_max);
    }

    /// Tells the client when the server shuts down. The client closes when it has its last answer.
    fn poll_drain(&mut self, task: &mut Task<'_>) {
        if self.drain.as_mut().is_some_and(|drain| drain.as_mut().poll(task).is_ready()) {
            self.drain = None;
            message::put_bare(&mut self.out, Kind::Drain, 0);
        }
    }

    fn poll_idle(&mut self, task: &mut Task<'_>) -> Poll<End> {
        while self.idle.as_mut().poll(task).is_ready() {
            // A call that takes its time is no reason to hang up: the client's pings show that it is there.
            if !std::mem::take(&mut self.moved) {
                return Poll::Ready(End::Idle);
            }
            self.idle.as_mut().reset(Instant::now() + self.limits.idle_max);
        }
        Poll::Pending
    }
}

/// What is said of a call whose answer there is no room for.
fn unread(outcome: Outcome) -> Outcome {
    let text = "the answer was thrown away, since the caller does not take those before it";
    match outcome {
        Ok(_) => Err(CallError::unknown(CauseKind::Overloaded, text)),
        // What refuses has changed nothing.
        Err(CallError::Refused(_)) => Err(CallError::not_run(CauseKind::Overloaded, text)),
        Err(small) => Err(small),
    }
}

/// Runs the part of a handler that comes before its future; `None` when it panicked.
fn guarded<T>(begin: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(begin)).ok()
}
