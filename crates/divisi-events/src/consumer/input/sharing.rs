//! Which lanes are this instance's.

use std::future::pending;
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_store::inbox::Watermark;
use divisi_store::{Lane, Read, StoreError};
use tokio::time::{Duration, Instant};
use tracing::debug;

use super::{Input, Next};
use crate::consumer::share::{LaneSet, Mine, Share};
use crate::consumer::status::LaneState;

/// How long giving lanes back may delay a stop: if it is not done, their leases run out.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// A question about shares that is out, or when the next one is due.
#[derive(Default)]
pub(super) struct Sharing {
    out: Option<BoxFuture<'static, Result<Said, StoreError>>>,
    next: Option<Instant>,
    /// What was said last; none before that.
    mine: LaneSet,
}

/// Which lanes are this instance's, and where all of them are if some were not before.
pub(super) struct Said {
    mine: Mine,
    marks: Vec<(Lane, Watermark)>,
    /// Where each was left on a carrier.
    hints: Vec<(Lane, String)>,
}

/// What was said of shares.
pub(super) async fn said(sharing: &mut Sharing) -> Result<Said, StoreError> {
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
    /// Asks which lanes are this instance's, when it is time.
    pub(super) fn share(&mut self) {
        let Some(share) = self.is_shared() else { return };
        let now = Instant::now();
        if self.sharing.out.is_some() || self.sharing.next.is_some_and(|next| next > now) {
            return;
        }
        self.sharing.next = Some(now + share.every());
        let (inbox, shared) = (Arc::clone(&self.inbox), Arc::clone(&self.shared));
        let before = self.sharing.mine;
        self.sharing.out = Some(Box::pin(async move {
            let mine = share.lanes(&inbox).await?;
            if mine.lanes.is_within(before) {
                return Ok(Said { mine, marks: Vec::new(), hints: Vec::new() });
            }
            let left = async |read: &mut Read| {
                Ok::<_, StoreError>((inbox.read(read).await?, inbox.hints(read).await?))
            };
            let (marks, hints) = shared.store.read(left).await?;
            Ok(Said { mine, marks, hints })
        }));
    }

    /// The lanes that are this instance's, as far as is known.
    pub(super) fn mine(&self) -> LaneSet {
        if self.is_shared().is_some() { self.sharing.mine } else { LaneSet::ALL }
    }

    /// When shares are asked for again.
    pub(super) fn next_share(&self) -> Option<Instant> {
        self.sharing.next.filter(|_| self.sharing.out.is_none())
    }

    /// Lanes that are not this instance's any more are let go; those that are now go on where another instance has left them.
    pub(super) fn shared(&mut self, said: Result<Said, StoreError>) -> Option<Next> {
        let now = Instant::now();
        let (lanes, marks, hints) = match said {
            Ok(Said { mine: Mine { lanes, again }, marks, hints }) => {
                self.store_works();
                (self.sharing.next, self.sharing.mine) = (Some(now + again), lanes);
                (lanes, marks, hints)
            }
            // They stay as they are: whoever takes them meanwhile does no harm, and neither does this one.
            Err(error) => {
                self.store_failed("whose lanes they are cannot be asked", &error);
                let latest = now + self.is_shared().map_or(LEAVE_MAX, |share| share.every());
                self.sharing.next = Some(self.store.until(now).map_or(latest, |until| until.min(latest)));
                return None;
            }
        };
        let (mut n_taken, mut n_given) = (0_usize, 0_usize);
        for n in 0..self.lanes.len() {
            let Some(queue) = self.lanes.get_mut(n) else { break };
            let now_mine = lanes.has(queue.lane);
            if queue.mine && !now_mine {
                self.give_away(n);
                n_given += 1;
            } else if !queue.mine && now_mine {
                let mark = marks.iter().find(|(lane, _)| *lane == queue.lane).map(|(_, mark)| *mark);
                match mark {
                    // One that did not enter the epoch with the others stays stopped.
                    Some(mark) if mark.epoch <= self.epoch => self.take_over(n, mark, &hints),
                    // Another instance has entered a newer one.
                    _ => return Some(Next::Begin),
                }
                n_taken += 1;
            }
        }
        if let Some(carried) = self.carried.as_mut().filter(|_| n_taken + n_given > 0) {
            carried.subscribe_anew();
        }
        if !self.lanes.iter().any(|queue| queue.mine) && self.source.over(now).is_some() {
            // It is not asked from here any more, so nothing else would say that it answers.
            self.tell(|status| status.trouble = None);
        }
        if n_taken > 0 {
            debug!(consumer.name = %self.shared.name, event.topic = %self.inbox.topic, "{n_taken} lanes more are this instance's");
        }
        None
    }

    /// What is under way ends, and moves the watermark or finds it moved.
    fn give_away(&mut self, n: usize) {
        let Some(queue) = self.lanes.get_mut(n) else { return };
        queue.give_away();
        let (lane, is_stopped) = (queue.lane, queue.is_stopped());
        if let Some(carried) = &mut self.carried {
            carried.give_away(lane);
        }
        if !is_stopped {
            self.tell_lane(n, LaneState::Elsewhere);
        }
    }

    fn take_over(&mut self, n: usize, mark: Watermark, hints: &[(Lane, String)]) {
        let Some(queue) = self.lanes.get_mut(n) else { return };
        queue.mine = true;
        // What is still under way says itself where the lane is when it ends.
        if queue.working.is_none() && mark.epoch == self.epoch && mark.pos > queue.at() {
            queue.moved(mark.pos);
        }
        let (lane, at, is_stopped) = (queue.lane, queue.at(), queue.is_stopped());
        let mut input = crate::lane::Input::Log;
        if let Some(carried) = &mut self.carried {
            carried.take_over(lane, at, hints, Instant::now());
            input = carried.input(lane);
        }
        if !is_stopped {
            self.tell(|status| {
                if let Some(lane) = status.lanes.get_mut(n) {
                    (lane.pos, lane.state, lane.input) = (at, LaneState::Following, input);
                }
            });
        }
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

    /// Who says which lanes are this instance's, if they are shared.
    fn is_shared(&self) -> Option<Arc<dyn Share>> {
        self.shared.share.clone()
    }
}

impl Sharing {
    /// Asks at once: the watermarks were read anew.
    pub(super) fn again(&mut self) {
        (self.out, self.next) = (None, None);
    }
}
