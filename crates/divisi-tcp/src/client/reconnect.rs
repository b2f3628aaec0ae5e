//! Making one connection after another, with pauses.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::error::Chain;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::absence::Absence;
use super::dial::{DialError, Dialled, dial};
use super::lane::{Link, Shared};
use crate::limits::Limits;

/// The pauses between attempts to connect.
#[derive(Debug)]
struct Backoff {
    next: Duration,
    first: Duration,
    max: Duration,
}

/// Connects when a call needs it, and again when the connection is over, as long as calls do.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut backoff = Backoff::new(&shared.limits);
    let mut absence = Absence::default();
    loop {
        tokio::select! {
            () = shared.wanted.notified() => {}
            // Looks after connections that drain while nobody calls.
            Some(_) = connections.join_next() => continue,
        }
        if matches!(&*shared.link.borrow(), Link::Up(_)) {
            continue;
        }
        while let Err(error) = connect(&shared, &mut connections, &mut backoff, &mut absence).await {
            let why = Chain(&error).to_string();
            if absence.seen(Instant::now(), error.passes()) {
                warn!(peer.address = shared.addr, "cannot reach {}, trying again: {why}", shared.addr);
            } else {
                debug!(peer.address = shared.addr, "cannot reach {}, trying again: {why}", shared.addr);
            }
            shared.link.send_replace(Link::Down(Some(why.into())));
            tokio::time::sleep(backoff.pause()).await;
            if shared.in_flight.in_flight() == 0 {
                break;
            }
        }
    }
}

/// Makes one connection and waits until it takes no more calls.
async fn connect(
    shared: &Shared,
    connections: &mut JoinSet<()>,
    backoff: &mut Backoff,
    absence: &mut Absence,
) -> Result<(), DialError> {
    let Dialled { connection, task, no_more_calls } =
        dial(&shared.addr, &shared.name, &shared.limits).await?;
    absence.over();
    let since = Instant::now();
    connections.spawn(task.run());
    shared.link.send_replace(Link::Up(connection));
    info!(peer.address = shared.addr, "connected to {}", shared.addr);
    let why = no_more_calls.await.unwrap_or_else(|_| "the connection broke".to_owned());
    debug!(peer.address = shared.addr, "no more calls to {} over this connection: {why}", shared.addr);
    shared.link.send_replace(Link::Down(Some(why.into())));
    while connections.try_join_next().is_some() {}
    if since.elapsed() >= shared.limits.reconnect_max {
        backoff.reset();
    } else {
        // A server that greets and hangs up is not asked again at once.
        tokio::time::sleep(backoff.pause()).await;
    }
    Ok(())
}

impl Backoff {
    fn new(limits: &Limits) -> Backoff {
        Backoff { next: limits.reconnect_first, first: limits.reconnect_first, max: limits.reconnect_max }
    }

    fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause.
    fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.max);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests;
