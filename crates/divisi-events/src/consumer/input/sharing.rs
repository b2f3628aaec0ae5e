//! Which lanes are this instance's.

use std::future::pending;
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_store::inbox::Watermark;
use divisi_store::{Read, StoreError};
use tokio::time::{Duration, Instant};
use tracing::{debug, warn};

use super::{Input, Next, unless};
use crate::consumer::batch::Ended;
use crate::consumer::queue::Queue;
use crate::consumer::share::{LaneSet, Share};

/// How long giving lanes back may delay a stop: if it is not done, their leases run out.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// A question about shares that is out, or when the next one is due.
#[derive(Default)]
pub(super) struct Sharing {
    out: Option<BoxFuture<'static, Result<LaneSet, StoreError>>>,
    next: Option<Instant>,
}

/// What was said of shares.
pub(super) async fn said(sharing: &mut Sharing) -> Result<LaneSet, StoreError> {
    match &mut sharing.out {
        Some(out) => {
            let said = out.await;
            sharing.out = None;
            said
        }
        None => pending().await,
    }
}

impl Input {
    /// Asks which lanes are this instance's, when it is time. Until it is said for the first time, none is.
    pub(super) fn share(&mut self) {
        let Some(share) = self.is_shared() else { return };
        let now = Instant::now();
        if self.sharing.out.is_some() || self.sharing.next.is_some_and(|next| next > now) {
            return;
        }
        if self.sharing.next.is_none() {
            self.lanes.iter_mut().for_each(Queue::give_away);
        }
        self.sharing.next = Some(now + share.every());
        let inbox = Arc::clone(&self.inbox);
        self.sharing.out = Some(Box::pin(async move { share.lanes(&inbox).await }));
    }

    /// When shares are asked for again.
    pub(super) fn next_share(&self) -> Option<Instant> {
        self.sharing.next.filter(|_| self.sharing.out.is_none())
    }

    /// Lanes that are not this instance's any more are let go; of those that are now, the watermark is read, since
    /// another instance has moved it.
    pub(super) fn shared(&mut self, said: Result<LaneSet, StoreError>) -> Option<Next> {
        let mine = match said {
            Ok(mine) => mine,
            // Whoever took them meanwhile does no harm, and neither does this one.
            Err(error) => {
                warn!(consumer.name = %self.shared.name, error = %error, "whose lanes they are cannot be asked: they stay as they are");
                return None;
            }
        };
        let mut n_taken = 0_usize;
        for queue in &mut self.lanes {
            let now_mine = mine.has(queue.lane);
            if queue.mine && !now_mine {
                queue.give_away();
            } else if !queue.mine && now_mine {
                queue.mine = true;
                n_taken += 1;
                if queue.working {
                    continue;
                }
                queue.working = true;
                let (lane, known) = (queue.lane, Watermark { epoch: self.epoch, pos: queue.at() });
                let (shared, inbox) = (Arc::clone(&self.shared), Arc::clone(&self.inbox));
                let mut stop = self.stop.clone();
                self.working.spawn(async move {
                    let look = shared.store.read(async |read: &mut Read| inbox.look(read, lane).await);
                    let seen = unless(&mut stop, look).await.unwrap_or(Ok(known));
                    (lane, seen.map_or_else(Ended::Failed, Ended::Moved))
                });
            }
        }
        if n_taken > 0 {
            debug!(consumer.name = %self.shared.name, event.topic = %self.inbox.topic, "{n_taken} lanes more are this instance's");
        }
        None
    }

    /// Gives the lanes back at a stop.
    pub(super) async fn leave(&mut self) {
        let Some(share) = self.is_shared() else { return };
        self.sharing.out = None;
        match tokio::time::timeout(LEAVE_MAX, share.leave(&self.inbox)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                debug!(consumer.name = %self.shared.name, error = %error, "lanes were not given back")
            }
            Err(_) => debug!(consumer.name = %self.shared.name, "lanes were not given back in time"),
        }
    }

    /// Who says which lanes are this instance's. On a carrier everybody hears everything anyway.
    fn is_shared(&self) -> Option<Arc<dyn Share>> {
        self.shared.share.clone().filter(|_| self.carried.is_none())
    }
}

impl Sharing {
    /// Asks at once: the watermarks were read anew.
    pub(super) fn again(&mut self) {
        (self.out, self.next) = (None, None);
    }
}
