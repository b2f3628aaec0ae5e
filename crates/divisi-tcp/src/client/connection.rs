//! One connection, seen from those who call over it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

use divisi_call::Request;
use divisi_contract::{CallError, CauseKind, Deadline};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::in_flight::{InFlight, Outcome, Waiting};
use super::offers::Offers;
use crate::frame::COUNTED;
use crate::message::{self, CALLER_MAX, KEY_MAX, Kind, RequestHead};
use crate::outgoing::Outgoing;

/// A connection to a server. Its other half is the [`task`](super::task) that reads and writes.
#[derive(Debug)]
pub(super) struct Connection {
    offers: Offers,
    /// The largest frame that both sides take.
    request_max: usize,
    /// Calls that may be in flight.
    calls_max: usize,
    write_buffer_max: usize,
    state: Mutex<State>,
    /// Told when what was to be written has been taken.
    space: Notify,
}

/// What callers and the task share. It is held for a few hundred nanoseconds at a time, never across a wait.
#[derive(Debug)]
pub(super) struct State {
    pub(super) calls: InFlight,
    pub(super) out: Outgoing,
    /// Bytes of whole frames that were ever put into `out`.
    pub(super) queued: u64,
    /// Bytes that the system has taken.
    pub(super) written: u64,
    /// Whether the task holds bytes that come before those in `out`.
    pub(super) writing: bool,
    /// Whether the server takes no new calls.
    pub(super) draining: bool,
    /// Whether the connection is over.
    pub(super) over: bool,
    /// The way for a caller to write by itself; gone when the connection is over.
    pub(super) socket: Option<Arc<OwnedWriteHalf>>,
    /// The task, when it waits.
    pub(super) task: Option<Waker>,
    /// When the task must look for deadlines that have passed.
    pub(super) look_at: Option<Instant>,
}

/// What the two sides agreed on.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) offers: Offers,
    pub(super) request_max: usize,
    pub(super) calls_max: usize,
    pub(super) write_buffer_max: usize,
}

/// Why a call was not begun on this connection.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// The connection takes no calls any more; another one may.
    Gone,
    /// Too much waits to be written.
    Full,
    /// It cannot be made.
    Failed(CallError<bytes::Bytes>),
}

/// A call in flight; dropping it tells the server that nobody waits any more.
#[derive(Debug)]
pub(super) struct InFlightCall<'a> {
    connection: &'a Connection,
    id: u64,
    over: bool,
}

impl Connection {
    pub(super) fn new(terms: Terms, socket: Arc<OwnedWriteHalf>) -> Connection {
        let Terms { offers, request_max, calls_max, write_buffer_max } = terms;
        let state = State {
            calls: InFlight::default(),
            out: Outgoing::default(),
            queued: 0,
            written: 0,
            writing: false,
            draining: false,
            over: false,
            socket: Some(socket),
            task: None,
            look_at: None,
        };
        Connection {
            offers,
            request_max,
            calls_max,
            write_buffer_max,
            state: Mutex::new(state),
            space: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that may wait to be written.
    pub(super) fn write_buffer_max(&self) -> usize {
        self.write_buffer_max
    }

    /// Told when there is room again.
    pub(super) fn space(&self) -> &Notify {
        &self.space
    }

    /// Puts a request among those to be written; `waker` is woken with its answer.
    pub(super) fn begin(&self, request: &Request<'_>, waker: &Waker) -> Result<InFlightCall<'_>, NotBegun> {
        let head = self.head(request).map_err(NotBegun::Failed)?;
        let deadline = request.cx.deadline();
        let mut state = self.state();
        if state.over || state.draining {
            return Err(NotBegun::Gone);
        }
        if state.calls.waiting() >= self.calls_max {
            return Err(NotBegun::Failed(CallError::not_run(
                CauseKind::Overloaded,
                format!(
                    "`{}` has {} calls in flight on this connection, which is its limit; try again later",
                    request.service, self.calls_max
                ),
            )));
        }
        if state.out.len() >= self.write_buffer_max {
            return Err(NotBegun::Full);
        }
        let id = state.calls.next_id();
        let n = head.put(&mut state.out, id, &request.arguments);
        state.queued += n as u64;
        let end = state.queued;
        state.calls.insert(Waiting { waker: waker.clone(), deadline, end });
        let look_sooner = state.look_sooner(deadline);
        let alone = state.calls.waiting() == 1 && !state.writing && state.out.len() == n;
        let left_over = !(alone && state.write_now());
        let wake = if look_sooner || left_over { state.task.take() } else { None };
        drop(state);
        if let Some(task) = wake {
            task.wake();
        }
        Ok(InFlightCall { connection: self, id, over: false })
    }

    /// The request's head, or why it cannot be sent here.
    fn head<'a>(&self, request: &'a Request<'_>) -> Result<RequestHead<'a>, CallError<bytes::Bytes>> {
        let (contract, method) = self.offers.find(request.service.as_str(), request.call)?;
        let cx = request.cx;
        let (caller, key) = (cx.caller().as_str(), cx.idempotency_key());
        let too_large = |text: String| Err(CallError::not_run(CauseKind::TooLarge, text));
        if caller.len() > CALLER_MAX {
            return too_large(format!(
                "the caller's name has {} bytes, the limit is {CALLER_MAX}",
                caller.len()
            ));
        }
        if let Some(key) = key.filter(|key| key.len() > KEY_MAX) {
            return too_large(format!("the idempotency key has {} bytes, the limit is {KEY_MAX}", key.len()));
        }
        let left = match cx.deadline() {
            Deadline::NEVER => None,
            deadline => deadline.left(divisi_call::now()),
        };
        if left.is_some_and(|left| left.is_zero()) {
            return Err(CallError::not_run(
                CauseKind::DeadlinePassed,
                "the deadline had passed before the call was sent",
            ));
        }
        let head = RequestHead { contract, method, left, trace: cx.trace(), caller, key };
        let length = COUNTED + head.len() + request.arguments.len();
        if length > self.request_max {
            return too_large(format!("the request has {length} bytes, the limit is {}", self.request_max));
        }
        Ok(head)
    }
}

impl State {
    /// Notes a deadline; `true` when the task must look sooner than it meant to.
    fn look_sooner(&mut self, deadline: Deadline) -> bool {
        let Some(at) = deadline.instant() else { return false };
        let sooner = self.look_at.is_none_or(|look_at| at < look_at);
        if sooner {
            self.look_at = Some(at);
        }
        sooner
    }

    /// Writes what waits without going through the task; `false` when some of it must. For a call that is alone:
    /// with others about, it is the task that gathers them into one write.
    fn write_now(&mut self) -> bool {
        let State { out, socket: Some(socket), written, .. } = self else { return false };
        let tried: io::Result<usize> = out.try_write((**socket).as_ref());
        // What the error is, the task will find out as well.
        *written += tried.unwrap_or(0) as u64;
        out.is_empty()
    }

    /// What a connection that broke means for a call.
    pub(super) fn broken(written: u64, end: u64, why: &str) -> Outcome {
        if end <= written {
            return Err(CallError::unknown(
                CauseKind::Disconnected,
                format!("the connection ended before the answer came: {why}"),
            ));
        }
        // Not all of the frame has left, so the server cannot have run it.
        Err(CallError::not_run(
            CauseKind::Disconnected,
            format!("the connection ended before the request was sent: {why}"),
        ))
    }
}

impl InFlightCall<'_> {
    /// What came of it.
    pub(super) fn poll(&mut self, waker: &Waker) -> Poll<Outcome> {
        let outcome = self.connection.state().calls.poll(self.id, waker);
        self.over = outcome.is_ready();
        outcome
    }
}

impl Drop for InFlightCall<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.connection.state();
        if !state.calls.abandon(self.id) || state.over {
            return;
        }
        state.queued += message::put_bare(&mut state.out, Kind::Cancel, self.id) as u64;
        let wake = state.task.take();
        drop(state);
        if let Some(task) = wake {
            task.wake();
        }
    }
}
