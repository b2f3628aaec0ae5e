//! One connection after another to the same address.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use divisi_call::{Limit, Request};
use divisi_contract::{CallError, CauseKind};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::connection::{Connection, InFlightCall, NotBegun};
use super::in_flight::Outcome;
use super::reconnect::keep;
use crate::limits::Limits;

/// A way to an address that mends itself. Dropping it closes its connections.
#[derive(Debug)]
pub(super) struct Lane {
    shared: Arc<Shared>,
    /// The task that connects, from the first call on.
    task: OnceLock<AbortHandle>,
}

/// What callers and the task that connects share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) addr: String,
    pub(super) name: String,
    pub(super) limits: Limits,
    /// Calls that wait for a connection, for room or for their answer.
    pub(super) in_flight: Limit,
    pub(super) link: watch::Sender<Link>,
    /// Told when a call needs a connection and there is none.
    pub(super) wanted: Notify,
}

/// Whether there is a connection.
#[derive(Debug, Clone)]
pub(super) enum Link {
    Up(Arc<Connection>),
    /// There is none; why, if anybody tried.
    Down(Option<Arc<str>>),
}

impl Lane {
    pub(super) fn new(addr: String, name: String, limits: Limits) -> Lane {
        let shared = Shared {
            addr,
            name,
            in_flight: Limit::new(limits.calls_in_flight_max),
            limits,
            link: watch::Sender::new(Link::Down(None)),
            wanted: Notify::new(),
        };
        Lane { shared: Arc::new(shared), task: OnceLock::new() }
    }

    pub(super) fn addr(&self) -> &str {
        &self.shared.addr
    }

    /// Makes one call, at most once.
    pub(super) async fn call(&self, request: Request<'_>) -> Result<Bytes, CallError<Bytes>> {
        let _place = self.shared.in_flight.enter(request.service.as_str())?;
        let mut gone = None;
        let give_up_at = OnceLock::new();
        loop {
            let connection = match self.up(gone.as_ref()) {
                Some(connection) => connection,
                None => {
                    let give_up_at = *give_up_at.get_or_init(|| self.give_up_at(&request));
                    self.connected(&request, gone.as_ref(), give_up_at).await?
                }
            };
            match run(&connection, &request).await {
                Ok(outcome) => return outcome,
                Err(Gone) => gone = Some(connection),
            }
        }
    }

    /// The connection, if there is one, and not the one that is known to take no more calls.
    fn up(&self, gone: Option<&Arc<Connection>>) -> Option<Arc<Connection>> {
        match &*self.shared.link.borrow() {
            Link::Up(connection) if !is(connection, gone) => Some(Arc::clone(connection)),
            _ => None,
        }
    }

    fn give_up_at(&self, request: &Request<'_>) -> Instant {
        let patience = Instant::now() + self.shared.limits.unreachable_after;
        match request.cx.deadline().instant() {
            Some(deadline) => patience.min(deadline.into()),
            None => patience,
        }
    }

    /// Waits for a connection.
    async fn connected(
        &self,
        request: &Request<'_>,
        gone: Option<&Arc<Connection>>,
        give_up_at: Instant,
    ) -> Result<Arc<Connection>, CallError<Bytes>> {
        let mut link = self.shared.link.subscribe();
        self.task.get_or_init(|| tokio::spawn(keep(Arc::clone(&self.shared))).abort_handle());
        self.shared.wanted.notify_one();
        let up = link.wait_for(|link| matches!(link, Link::Up(connection) if !is(connection, gone)));
        if let Ok(Ok(link)) = tokio::time::timeout_at(give_up_at, up).await
            && let Link::Up(connection) = &*link
        {
            return Ok(Arc::clone(connection));
        }
        let why = match &*self.shared.link.borrow() {
            Link::Down(Some(why)) => Arc::clone(why),
            _ => "no connection in time".into(),
        };
        Err(CallError::not_run(
            CauseKind::Unreachable,
            format!("{} at {} is not reachable: {why}", request.service, self.shared.addr),
        ))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// The connection takes no calls any more, and this one was not sent.
struct Gone;

/// Makes one call over one connection.
async fn run(connection: &Connection, request: &Request<'_>) -> Result<Outcome, Gone> {
    let mut call: Option<InFlightCall<'_>> = None;
    loop {
        let space = connection.space().notified();
        let outcome = std::future::poll_fn(|task| {
            if let Some(call) = &mut call {
                return call.poll(task.waker()).map(Ok);
            }
            match connection.begin(request, task.waker()) {
                Ok(begun) => {
                    call = Some(begun);
                    std::task::Poll::Pending
                }
                Err(not_begun) => std::task::Poll::Ready(Err(not_begun)),
            }
        });
        match outcome.await {
            Ok(outcome) => return Ok(outcome),
            Err(NotBegun::Gone) => return Err(Gone),
            Err(NotBegun::Failed(error)) => return Ok(Err(error)),
            Err(NotBegun::Full) => match request.cx.deadline().instant() {
                None => space.await,
                // The deadline is looked at again when the request is begun.
                Some(deadline) => {
                    let _ = tokio::time::timeout_at(deadline.into(), space).await;
                }
            },
        }
    }
}

fn is(connection: &Arc<Connection>, other: Option<&Arc<Connection>>) -> bool {
    other.is_some_and(|other| Arc::ptr_eq(connection, other))
}
