//! How far a consumer is, for health checks, metrics, tests and readers that wait for their own writes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use divisi_contract::ServiceName;
use divisi_store::{Epoch, Lane, Pos, Position};
use tokio::sync::{Notify, watch};

use crate::lane::Input;

/// How far a consumer is, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// The consumer.
    pub consumer: String,
    /// Its inputs, in the order in which they were given.
    pub inputs: Vec<InputStatus>,
}

/// How far a consumer is in one topic of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputStatus {
    /// The service whose events they are.
    pub source: ServiceName,
    /// The topic.
    pub topic: &'static str,
    /// The epoch that was entered.
    pub epoch: Epoch,
    /// Its lanes, by number; none before the watermarks have been read.
    pub lanes: Vec<LaneStatus>,
    /// Why the source brings nothing at the moment.
    pub trouble: Option<String>,
    /// Why nothing more is read until the consumer starts again.
    pub ended: Option<String>,
    /// Where the source went back behind what had taken effect here, since the start.
    pub diverged: Vec<Diverged>,
    /// Records that arrived though they had taken effect, since the start.
    pub repeats: u64,
    /// Records that arrived before something that comes before them, since the start.
    pub gaps: u64,
    /// Events that were handled, since the start: at their turn, or later if they were parked.
    pub handled: u64,
    /// How often a lane went from the carrier to the log, since the start.
    pub falls: u64,
}

/// How far a consumer is in one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// The last position that took effect.
    pub pos: Pos,
    /// The end of the source's lane, as it was last told.
    pub head: Option<Pos>,
    /// Whether it goes on.
    pub state: LaneState,
    /// Which feed it follows; the log, where there is no carrier.
    pub input: Input,
}

/// Whether a lane goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneState {
    /// It goes on.
    Following,
    /// Another instance of the consumer applies it, and knows how far it is: what is said here is of the past.
    Elsewhere,
    /// Something has to pass first; it is tried again by itself.
    BackingOff {
        /// What.
        reason: String,
        /// How often in a row.
        attempts: u32,
    },
    /// Too much failed, so that its next event is not parked: tried now and then, until it succeeds or an operator
    /// resumes the lane.
    Paused {
        /// How the next event fails.
        reason: String,
    },
    /// It does not go on before the consumer starts again.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// A lane whose source went back behind what had taken effect here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverged {
    /// The lane.
    pub lane: Lane,
    /// The epoch whose beginning showed it.
    pub epoch: Epoch,
    /// The last position that both still share.
    pub shared: Pos,
    /// The last position that had taken effect here: what lies between is known here alone.
    pub applied: Pos,
}

/// Looks at a consumer from outside. Cheap to clone.
#[derive(Clone)]
pub struct Observer {
    board: Arc<Board>,
}

/// What the consumer tells its observers, and what they ask of it.
pub(super) struct Board {
    status: Mutex<ConsumerStatus>,
    changed: watch::Sender<()>,
    resume: Mutex<Vec<(usize, Lane)>>,
    pub(super) resumed: Notify,
}

impl ConsumerStatus {
    /// One input.
    pub fn input(&self, source: &str, topic: &str) -> Option<&InputStatus> {
        self.inputs.iter().find(|input| input.source.as_str() == source && input.topic == topic)
    }

    /// Whether the events at these positions have taken effect here; those of topics that are not read do not count. Where instances
    /// share lanes, what another one has applied is not seen here.
    pub fn has_reached(&self, positions: &[Position]) -> bool {
        positions.iter().all(|position| {
            let mut inputs = self.inputs.iter().filter(|input| *input.topic == *position.topic);
            inputs.all(|input| input.has_reached(position))
        })
    }

    /// Events that are known to be in the sources' logs and have not taken effect here.
    pub fn unread(&self) -> i64 {
        self.inputs.iter().map(InputStatus::unread).sum()
    }
}

impl ConsumerStatus {
    /// What is not read any more before the consumer starts again, and why, in words for people; `None` while all of it
    /// is read. It is the first that is found: a topic of which nothing is read, or a lane of one.
    pub fn ended(&self) -> Option<String> {
        self.inputs.iter().find_map(|input| {
            if let Some(why) = &input.ended {
                return Some(format!("it reads no more of `{}`: {why}", input.topic));
            }
            let (n, why) = input.lanes.iter().enumerate().find_map(|(n, lane)| match &lane.state {
                LaneState::Stopped { reason } => Some((n, reason)),
                _ => None,
            })?;
            Some(format!("it reads no more of lane {n} of `{}`: {why}", input.topic))
        })
    }
}

impl InputStatus {
    /// Events that are known to be in the source's log and have not taken effect here, in the lanes that this instance applies.
    pub fn unread(&self) -> i64 {
        let unread = |lane: &LaneStatus| lane.head.map_or(0, |head| (head.0 - lane.pos.0).max(0));
        self.lanes.iter().filter(|lane| lane.state != LaneState::Elsewhere).map(unread).sum()
    }

    /// How many lanes this instance applies.
    pub fn n_here(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.state != LaneState::Elsewhere).count()
    }

    /// The lanes that too many failures have paused.
    pub fn paused(&self) -> impl Iterator<Item = Lane> {
        let lanes = (0_u16..).map(Lane).zip(&self.lanes);
        lanes.filter(|(_, status)| matches!(status.state, LaneState::Paused { .. })).map(|(lane, _)| lane)
    }

    fn has_reached(&self, position: &Position) -> bool {
        let lane = self.lanes.get(usize::from(position.lane.0));
        self.epoch >= position.epoch && lane.is_some_and(|lane| lane.pos >= position.pos)
    }
}

impl Observer {
    pub(super) fn new(board: Arc<Board>) -> Observer {
        Observer { board }
    }

    /// How far it is now.
    pub fn status(&self) -> ConsumerStatus {
        self.board.lock().clone()
    }

    /// Waits until the status is as wanted. It waits for ever if it never is: put a time-out around it.
    pub async fn until(&self, mut wanted: impl FnMut(&ConsumerStatus) -> bool) {
        let mut changed = self.board.changed.subscribe();
        while !wanted(&self.board.lock()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until something is not read any more, for ever if it never comes to that; see [`ConsumerStatus::ended`].
    pub async fn ended(&self) -> String {
        loop {
            self.until(|status| status.ended().is_some()).await;
            if let Some(why) = self.status().ended() {
                return why;
            }
        }
    }

    /// Waits until the events at these positions have taken effect here. See [`ConsumerStatus::has_reached`].
    pub async fn reached(&self, positions: &[Position]) {
        self.until(|status| status.has_reached(positions)).await;
    }

    /// Lets a paused lane go on, as if nothing had failed before; `false` when there is no such lane.
    pub fn resume(&self, source: &str, topic: &str, lane: Lane) -> bool {
        let place = {
            let status = self.board.lock();
            status.inputs.iter().position(|input| {
                input.source.as_str() == source
                    && input.topic == topic
                    && usize::from(lane.0) < input.lanes.len()
            })
        };
        let Some(place) = place else { return false };
        self.board.resume.lock().unwrap_or_else(PoisonError::into_inner).push((place, lane));
        self.board.resumed.notify_waiters();
        true
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("consumer", &self.board.lock().consumer).finish_non_exhaustive()
    }
}

impl Board {
    pub(super) fn new(consumer: &str) -> Board {
        Board {
            status: Mutex::new(ConsumerStatus { consumer: consumer.to_owned(), inputs: Vec::new() }),
            changed: watch::Sender::new(()),
            resume: Mutex::default(),
            resumed: Notify::new(),
        }
    }

    /// Adds an input; the place at which it reports.
    pub(super) fn add(&self, source: ServiceName, topic: &'static str) -> usize {
        let mut status = self.lock();
        status.inputs.push(InputStatus {
            source,
            topic,
            epoch: Epoch(0),
            lanes: Vec::new(),
            trouble: None,
            ended: None,
            diverged: Vec::new(),
            repeats: 0,
            gaps: 0,
            handled: 0,
            falls: 0,
        });
        status.inputs.len() - 1
    }

    /// Changes what is told of one input, and wakes whoever waits.
    pub(super) fn tell(&self, place: usize, change: impl FnOnce(&mut InputStatus)) {
        if let Some(input) = self.lock().inputs.get_mut(place) {
            change(input);
        }
        self.changed.send_replace(());
    }

    /// So many parked events were handled after all.
    pub(super) fn redriven(&self, source: &str, topic: &str, n_events: u64) {
        let of = |input: &InputStatus| input.source.as_str() == source && input.topic == topic;
        let place = self.lock().inputs.iter().position(of);
        if let Some(place) = place {
            self.tell(place, |input| input.handled += n_events);
        }
    }

    /// The lanes of one input that an operator wants to go on.
    pub(super) fn resumes(&self, place: usize) -> Vec<Lane> {
        let mut resume = self.resume.lock().unwrap_or_else(PoisonError::into_inner);
        let (mine, others) = resume.drain(..).partition(|(at, _)| *at == place);
        *resume = others;
        mine.into_iter().map(|(_, lane): (usize, Lane)| lane).collect()
    }

    fn lock(&self) -> MutexGuard<'_, ConsumerStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
