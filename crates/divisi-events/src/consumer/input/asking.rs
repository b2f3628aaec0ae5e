//! Asks the source for what comes next, and takes what it answers.

use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_contract::{Answer, CallError, CauseKind, Context, Deadline};
use divisi_store::{Lane, Record};
use tokio::time::{Duration, Instant};
use tracing::debug;

use super::{
    ANSWER_EXPECTED_MAX, ANSWER_SLACK, ASK_AGAIN_AFTER, AT_ONCE, Asked, EMPTY_AT_ONCE_MAX, Input, Next,
};
use crate::consumer::queue::{Queue, Taken};
use crate::fetch::{BYTES_MAX, Fetch, FetchRefused, Fetched, LaneWanted, RECORDS_MAX};

impl Input {
    /// Asks the source for all lanes that can take more, unless a question that names them is on its way.
    pub(super) fn ask(&mut self) {
        let now = Instant::now();
        let events_max = self.shared.options.batch_events_max;
        if self.source.until(now).is_some() || !self.has_room() {
            return;
        }
        let carried = self.carried.as_ref();
        let wants = |lane: &Queue| {
            lane.wants(events_max, now) && carried.is_none_or(|carried| carried.reads_log(lane.lane))
        };
        match &self.asked {
            Some(asked) if now < asked.again_at => return,
            Some(_) if !self.lanes.iter().any(|lane| wants(lane) && !lane.asked) => return,
            _ => {}
        }
        let mut wanted: Vec<&mut Queue> = self.lanes.iter_mut().filter(|lane| wants(lane)).collect();
        if wanted.is_empty() {
            return;
        }
        wanted.sort_by_key(|lane| lane.served);
        let lanes: Vec<Lane> = wanted.iter().map(|lane| lane.lane).collect();
        let expected = wanted.iter().any(|lane| lane.is_behind());
        for lane in wanted {
            lane.asked = true;
        }
        let answer = self.question(&lanes, RECORDS_MAX, self.shared.options.wait);
        let takes = if expected { (2 * self.answers_take).min(ANSWER_EXPECTED_MAX) } else { Duration::ZERO };
        let again_at = now + takes.max(ASK_AGAIN_AFTER);
        self.asked = Some(Asked { since: now, again_at, expected, answer });
    }

    /// Whether what waits to be applied leaves room for another answer.
    pub(super) fn has_room(&self) -> bool {
        self.lanes.iter().map(Queue::bytes).sum::<usize>() < self.shared.queue_bytes_max()
    }

    pub(super) fn question(
        &self,
        lanes: &[Lane],
        max_records: u32,
        wait: Duration,
    ) -> BoxFuture<'static, Answer<Fetched, FetchRefused>> {
        let wanted = lanes.iter().filter_map(|lane| self.lanes.get(usize::from(lane.0)));
        let want = Fetch {
            topic: Arc::clone(&self.inbox.topic),
            reader: Arc::clone(&self.inbox.consumer),
            lanes: wanted
                .map(|queue| LaneWanted {
                    lane: queue.lane,
                    epoch: self.epoch,
                    pos: queue.ahead(),
                    applied: queue.at(),
                })
                .collect(),
            max_records,
            max_bytes: BYTES_MAX,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        };
        let feed = Arc::clone(&self.feed);
        let deadline = Deadline::after(divisi_call::now(), wait + ANSWER_SLACK);
        let cx = Context::root(self.shared.store.service()).with_deadline(deadline);
        Box::pin(async move { feed.fetch(&cx, want).await })
    }

    /// The source has answered.
    pub(super) fn answered(&mut self, answer: (Instant, Answer<Fetched, FetchRefused>)) -> Option<Next> {
        let (since, answer) = answer;
        let expected = self.asked.take().is_some_and(|asked| asked.expected);
        let next = match answer {
            Ok(fetched) => self.take(since, expected, fetched),
            Err(error) => self.refused(error),
        };
        self.lanes.iter_mut().for_each(|lane| lane.asked = false);
        next
    }

    /// Takes what an answer has brought.
    pub(super) fn take(&mut self, since: Instant, expected: bool, fetched: Fetched) -> Option<Next> {
        let current = fetched.epochs.current();
        if current > self.epoch {
            self.source_works();
            return Some(Next::Enter);
        }
        if current < self.epoch {
            let reason = format!("it answered with epoch {}, older than {}", current.0, self.epoch.0);
            self.source_failed(reason);
            return None;
        }
        let now = Instant::now();
        self.n_answers += 1;
        let (mut n_queued, mut repeats, mut gaps) = (0, 0, 0);
        for record in fetched.records {
            match self.arrived(record) {
                Some(Taken::Queued) => n_queued += 1,
                Some(Taken::Repeat) => repeats += 1,
                Some(Taken::Gap) => gaps += 1,
                Some(Taken::Unasked) => {}
                None => {
                    self.source_failed("it answered with a record of another topic or lane".to_owned());
                    return None;
                }
            }
        }
        if expected && n_queued > 0 {
            self.answers_take = now.duration_since(since);
        }
        let heads = fetched.heads;
        for (lane, head) in &heads {
            if let Some(queue) = self.lanes.get_mut(usize::from(lane.0)) {
                queue.head = *head;
            }
        }
        self.tell(|status| {
            status.repeats += repeats;
            status.gaps += gaps;
            for (lane, head) in heads {
                if let Some(lane) = status.lanes.get_mut(usize::from(lane.0)) {
                    lane.head = Some(head);
                }
            }
        });
        let at_once = n_queued == 0 && now.duration_since(since) < AT_ONCE;
        self.n_empty_at_once = if at_once { self.n_empty_at_once + 1 } else { 0 };
        if gaps > 0 && n_queued == 0 {
            self.source_failed("it left out records in a lane".to_owned());
        } else if self.n_empty_at_once > EMPTY_AT_ONCE_MAX {
            self.source.again(now);
        } else {
            self.source_works();
        }
        None
    }

    /// A record has come, from wherever; `None`: it is not of this input.
    pub(super) fn arrived(&mut self, record: Arc<Record>) -> Option<Taken> {
        let mine = record.source == self.inbox.source && record.topic == self.inbox.topic;
        let queue = self.lanes.get_mut(usize::from(record.lane.0)).filter(|_| mine)?;
        if !queue.asked {
            return Some(Taken::Unasked);
        }
        queue.served = self.n_answers;
        Some(queue.take(record, None))
    }

    /// The source did not answer.
    pub(super) fn refused(&mut self, error: CallError<FetchRefused>) -> Option<Next> {
        match error {
            CallError::Refused(refused @ (FetchRefused::NotAllowed | FetchRefused::NoSuchTopic)) => {
                return Some(Next::Ended(refused.to_string()));
            }
            CallError::Refused(FetchRefused::RetentionExceeded { lane, floor }) => {
                let reason = FetchRefused::RetentionExceeded { lane, floor }.to_string();
                match self.lanes.iter().position(|queue| queue.lane == lane && !queue.is_stopped()) {
                    // Another instance applies it, and is further than is known here.
                    Some(n) if self.lanes.get(n).is_some_and(|queue| !queue.mine) => {
                        return Some(Next::Begin);
                    }
                    Some(n) => self.stop_lane(n, reason),
                    None => self.source_failed(reason),
                }
            }
            CallError::Refused(refused @ FetchRefused::EpochAhead { .. }) => {
                self.source_failed(refused.to_string());
            }
            // It ends in order and says so: no trouble, unless it stays away.
            CallError::NotRun(cause) if cause.kind == CauseKind::Draining => {
                debug!(event.source = %self.inbox.source, "`{}` is shutting down", self.inbox.source);
                self.source.postpone(Instant::now());
            }
            CallError::NotRun(cause) | CallError::MayHaveRun(cause) => self.source_failed(cause.to_string()),
        }
        None
    }
}
