//! Lets lanes be applied side by side, and says what follows from how each transaction ended.

use std::sync::Arc;

use divisi_store::inbox::Watermark;
use divisi_store::{Lane, Read, StoreError};
use tokio::time::Instant;

use super::{Input, Next, unless};
use crate::consumer::batch::{self, Ended, Halt};
use crate::consumer::status::LaneState;

/// Says something of one lane: every line of it names the same things.
macro_rules! of_lane {
    ($level:ident, $input:ident, $lane:expr, $($what:tt)+) => {
        tracing::$level!(
            consumer.name = %$input.shared.name,
            event.source = %$input.inbox.source,
            event.topic = %$input.inbox.topic,
            event.lane = $lane.0,
            $($what)+
        )
    };
}

impl Input {
    /// Begins a transaction for every lane that can go on, as many as there may be, beginning behind the lane that was last: those at the
    /// end of the row get their turn too. A lane that has to wait has a larger batch when its turn comes.
    pub(super) fn start(&mut self) {
        let now = Instant::now();
        let transactions_max = self.shared.transactions_max();
        let mut begin = self.pace.may_begin(self.lanes.iter().filter_map(|queue| queue.working), now);
        self.held_back = None;
        let first = self.begins_next.min(self.lanes.len());
        let (before, behind) = self.lanes.split_at_mut(first);
        for queue in behind.iter_mut().chain(before) {
            if self.working.len() >= transactions_max {
                return;
            }
            if !queue.ready(now) {
                continue;
            }
            if begin.n == 0 {
                self.held_back = Some(begin.next);
                return;
            }
            begin.n -= 1;
            queue.working = Some(now);
            self.begins_next = usize::from(queue.lane.0) + 1;
            let batch = queue.batch(self.epoch, self.shared.options.batch_events_max);
            let (shared, inbox, breaker) =
                (Arc::clone(&self.shared), Arc::clone(&self.inbox), Arc::clone(&self.breaker));
            self.working.spawn(async move {
                let ended = batch::apply(&shared, &inbox, &breaker, &batch).await;
                (batch.lane, ended)
            });
        }
    }

    /// A lane's transaction has ended.
    pub(super) fn joined(&mut self, ended: Result<(Lane, Ended), tokio::task::JoinError>) -> Option<Next> {
        let (lane, ended) = match ended {
            Ok(ended) => ended,
            // Handlers' panics do not come here: this one is ours.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return None,
        };
        let n = usize::from(lane.0);
        let now = Instant::now();
        let queue = self.lanes.get_mut(n)?;
        queue.working = None;
        match ended {
            Ended::Applied { to, handled, parked, skipped, failed, halted } => {
                // Where nothing waits for a server, those that wait together commit together.
                if self.shared.suspends {
                    self.pace.ended(handled, now);
                }
                queue.moved(to);
                queue.careful = failed;
                if skipped > 0 {
                    self.skipped(lane, skipped);
                }
                if handled > 0 || halted.is_none() {
                    self.goes_on(n);
                }
                // After a long absence each of them would find out by itself, up to half a minute later.
                self.lanes.iter_mut().for_each(|queue| queue.store_works(now));
                self.tell(|status| {
                    status.handled += handled - parked;
                    if let Some(lane) = status.lanes.get_mut(n) {
                        lane.pos = to;
                    }
                });
                if let Some(halt) = halted {
                    self.halt(n, halt, now);
                }
            }
            Ended::Halted(halt) => {
                queue.careful = true;
                self.halt(n, halt, now);
            }
            Ended::Moved(at) if at.epoch != self.epoch => return Some(Next::Begin),
            Ended::Moved(at) => {
                let skipped = at.pos.0 - queue.at().0;
                queue.moved(at.pos);
                if skipped > 0 {
                    self.skipped(lane, skipped);
                }
                self.tell(|status| {
                    if let Some(lane) = status.lanes.get_mut(n) {
                        lane.pos = at.pos;
                    }
                });
            }
            Ended::Failed(error) => self.failed(n, error, now),
            Ended::Unknown(error) => {
                of_lane!(
                    warn,
                    self,
                    lane,
                    error = %error,
                    "it is not known whether a batch of lane {lane} happened: its watermark is read again"
                );
                let (shared, inbox) = (Arc::clone(&self.shared), Arc::clone(&self.inbox));
                let (mut stop, known) = (self.stop.clone(), Watermark { epoch: self.epoch, pos: queue.at() });
                queue.working = Some(now);
                self.working.spawn(async move {
                    let look = shared.store.read(async |read: &mut Read| inbox.look(read, lane).await);
                    // Whoever stops is content with what is known; the next start reads it anew.
                    let seen = unless(&mut stop, look).await.unwrap_or(Ok(known));
                    (lane, seen.map_or_else(Ended::Failed, Ended::Moved))
                });
            }
        }
        None
    }

    /// A transaction of a lane was undone. Of one that is another instance's by now, the other will see what it does.
    pub(super) fn failed(&mut self, n: usize, error: StoreError, now: Instant) {
        let Some(queue) = self.lanes.get_mut(n).filter(|queue| queue.mine) else { return };
        // With one event a transaction it is known which; any other trouble is the store's and passes.
        let guilty = batch::is_of_handlers(&error);
        if guilty {
            let alone = queue.is_alone();
            queue.one_by_one();
            if alone && queue.failed() >= self.shared.options.attempts_max {
                queue.condemn(error.message.clone());
            }
        }
        self.back_off(n, error.message, now);
        if !guilty && let Some(queue) = self.lanes.get_mut(n) {
            queue.waits_for_store();
        }
    }

    pub(super) fn halt(&mut self, n: usize, halt: Halt, now: Instant) {
        let Some(queue) = self.lanes.get_mut(n).filter(|queue| queue.mine) else { return };
        match halt {
            Halt::Transient(reason) => self.back_off(n, reason, now),
            Halt::Attempt(reason) => {
                queue.failed();
                self.back_off(n, reason, now);
            }
            Halt::Pause(reason) => {
                let options = self.shared.options.pause;
                if !queue.is_paused() {
                    of_lane!(
                        error,
                        self,
                        queue.lane,
                        "lane {} of `{}` is paused, since too much failed: {reason}",
                        queue.lane,
                        self.inbox.topic
                    );
                }
                queue.pause(now + options.try_every);
                self.tell_lane(n, LaneState::Paused { reason });
            }
        }
    }

    pub(super) fn back_off(&mut self, n: usize, reason: String, now: Instant) {
        let options = &self.shared.options;
        let Some(queue) = self.lanes.get_mut(n) else { return };
        let attempts = queue.back_off(now, |attempts| options.backoff.after(attempts));
        if attempts == 1 {
            of_lane!(
                warn,
                self,
                queue.lane,
                "lane {} of `{}` waits and tries again: {reason}",
                queue.lane,
                self.inbox.topic
            );
        } else if queue.alarm(now, options.alarm_after) {
            of_lane!(
                error,
                self,
                queue.lane,
                attempts,
                "lane {} of `{}` has not gone on for {:?}: {reason}",
                queue.lane,
                self.inbox.topic,
                options.alarm_after
            );
        }
        self.tell_lane(n, LaneState::BackingOff { reason, attempts });
    }

    pub(super) fn goes_on(&mut self, n: usize) {
        let Some(queue) = self.lanes.get_mut(n) else { return };
        if queue.free_again() {
            of_lane!(info, self, queue.lane, "lane {} of `{}` goes on", queue.lane, self.inbox.topic);
            self.tell_lane(n, LaneState::Following);
        }
    }

    pub(super) fn stop_lane(&mut self, n: usize, reason: String) {
        let Some(queue) = self.lanes.get_mut(n) else { return };
        queue.stop();
        of_lane!(error, self, queue.lane, "lane {} of `{}` stops: {reason}", queue.lane, self.inbox.topic);
        self.tell_lane(n, LaneState::Stopped { reason });
    }

    /// Lets the lanes go on that an operator has named.
    pub(super) fn resume(&mut self) {
        for lane in self.shared.board.resumes(self.place) {
            self.breaker.reset();
            self.goes_on(usize::from(lane.0));
        }
    }

    pub(super) fn skipped(&self, lane: Lane, skipped: i64) {
        of_lane!(
            debug,
            self,
            lane,
            "skipped {skipped} events of lane {lane}: another consumer of this name has applied them"
        );
    }
}
