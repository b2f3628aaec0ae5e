//! What an input gets out of a carrier, lane by lane; nothing of it is trusted.
//!
//! Records wait in a hand of their own until their turn comes, so that one that arrives too early is not lost and one
//! that is of another history is never taken. When something does not come, the lane goes to the log: see
//! [`lane`](crate::lane).

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::Answer;
use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::{Epoch, Epochs, Lane, Pos, Record};
use tokio::time::Instant;

use super::options::Backoff;
use super::queue::Queue;
use super::share::LaneSet;
use super::trouble::Trouble;
use crate::carrier::{self, Arrivals, Carrier, CarrierError, Hint};
use crate::epochs;
use crate::fetch::{FetchRefused, Fetched};
use crate::lane::{Hand, Input, LaneInput, Switch};

mod following;
use following::{Following, HAND_BYTES_OF_A_LANE, Room};

/// How often the source is asked where its lanes end, while some lane follows the carrier.
const HEADS_EVERY: Duration = Duration::from_millis(200);
/// How soon it is asked when a record shows that it may have begun an epoch.
const HEADS_SOON: Duration = Duration::from_millis(20);
/// Arrivals that are taken at once: a turn looks at all lanes, whatever has come.
const ARRIVALS_AT_ONCE: usize = 100;
/// Bytes of them, or one arrival: no more than a lane can hold, should all of it be one lane's.
const ARRIVALS_BYTES_AT_ONCE: usize = HAND_BYTES_OF_A_LANE / 2;

/// The carrier's side of an input.
pub(super) struct Carried {
    carrier: Arc<dyn Carrier>,
    lanes: Vec<Following>,
    /// The source's list of epochs, as it was entered.
    list: Epochs,
    epoch: Epoch,
    way: Way,
    trouble: Trouble,
    heads: Option<BoxFuture<'static, Answer<Fetched, FetchRefused>>>,
    heads_at: Instant,
    /// Whether the source answered when it was last asked: a lane does not go to a log that nobody reaches.
    log_answers: bool,
    /// A newer list, told by a beacon that knows all our lanes.
    beacon: Option<Epochs>,
}

/// A subscription.
enum Way {
    Closed,
    Opening(BoxFuture<'static, Result<Box<dyn Arrivals>, CarrierError>>),
    Open(Box<dyn Arrivals>),
    /// It ended behind what was last taken.
    Over(CarrierError),
}

/// What has come.
pub(super) enum Came {
    /// Something out of the carrier, in order; never nothing.
    Arrivals(Vec<carrier::Carried>),
    /// The source's heads.
    Heads(Answer<Fetched, FetchRefused>),
    /// The subscription is open.
    Opened,
    /// The subscription is over.
    Closed(CarrierError),
}

impl Carried {
    pub(super) fn new(carrier: Arc<dyn Carrier>, backoff: Backoff) -> Carried {
        Carried {
            carrier,
            lanes: Vec::new(),
            list: Epochs::default(),
            epoch: Epoch(0),
            way: Way::Closed,
            trouble: Trouble::new(backoff),
            heads: None,
            heads_at: Instant::now(),
            log_answers: true,
            beacon: None,
        }
    }

    /// The watermarks were read, with the list of epochs that was entered and where the carrier was left.
    pub(super) fn begin(
        &mut self,
        marks: &[(Lane, Watermark)],
        epoch: Epoch,
        list: Epochs,
        (hints, mine): (&[(Lane, String)], LaneSet),
        now: Instant,
    ) {
        if self.lanes.is_empty() {
            self.lanes = marks
                .iter()
                .map(|&(lane, at)| {
                    let hint = self.hint(lane, hints);
                    Following::new((lane, at.pos), mine.has(lane), hint, now)
                })
                .collect();
        } else if epoch != self.epoch {
            for (following, (_, at)) in self.lanes.iter_mut().zip(marks) {
                following.input.entered(at.pos, now.into_std());
            }
        }
        (self.epoch, self.list) = (epoch, list);
        self.beacon = None;
        let others = marks.iter().filter(|(lane, _)| {
            self.lanes.get(usize::from(lane.0)).is_some_and(|following| following.mine != mine.has(*lane))
        });
        let others: Vec<(Lane, Pos)> = others.map(|(lane, at)| (*lane, at.pos)).collect();
        for (lane, at) in &others {
            if mine.has(*lane) {
                self.take_over(*lane, *at, hints, now);
            } else {
                self.give_away(*lane);
            }
        }
        if !others.is_empty() {
            self.subscribe_anew();
        }
        for following in &mut self.lanes {
            following.forget(|lane, held| epochs::belongs(&self.list, lane, epoch, held));
        }
    }

    /// A lane is this instance's from now on; another one has left it there.
    pub(super) fn take_over(&mut self, lane: Lane, at: Pos, hints: &[(Lane, String)], now: Instant) {
        let hint = self.hint(lane, hints);
        if let Some(following) = self.lanes.get_mut(usize::from(lane.0)) {
            following.input = LaneInput::new(at, hint.is_some(), now.into_std());
            (following.mine, following.hint) = (true, hint);
        }
    }

    /// A lane is another instance's from now on.
    pub(super) fn give_away(&mut self, lane: Lane) {
        if let Some(following) = self.lanes.get_mut(usize::from(lane.0)) {
            following.mine = false;
            following.forget(|_, _| false);
        }
    }

    /// Subscribes anew: the lanes are others.
    pub(super) fn subscribe_anew(&mut self) {
        self.way = Way::Closed;
    }

    /// Where a lane was left on this carrier.
    fn hint(&self, lane: Lane, hints: &[(Lane, String)]) -> Option<Hint> {
        let (_, hint) = hints.iter().find(|(of, _)| *of == lane)?;
        let ours = hint.strip_prefix(self.carrier.name())?.starts_with(':');
        ours.then(|| Hint(hint.as_str().into()))
    }

    /// Whether the lane's records are to be fetched from the log.
    pub(super) fn reads_log(&self, lane: Lane) -> bool {
        self.lanes.get(usize::from(lane.0)).is_none_or(|following| following.input.reads_log())
    }

    /// Which feed the lane follows.
    pub(super) fn input(&self, lane: Lane) -> Input {
        self.lanes.get(usize::from(lane.0)).map_or(Input::Log, |following| following.input.input())
    }

    /// Hands on what is next in each lane, and brings the lanes that change their feed.
    pub(super) fn turn(
        &mut self,
        queues: &mut [Queue],
        events_max: usize,
        now: Instant,
    ) -> Vec<(Lane, Switch)> {
        let mut switched = Vec::new();
        for (following, queue) in self.lanes.iter_mut().zip(queues) {
            following.has(if queue.is_stopped() {
                Room::None
            } else if queue.waits() {
                Room::Own
            } else {
                Room::Shared
            });
            if !following.mine || queue.is_stopped() || following.rests(queue.at()) {
                continue;
            }
            following.reached(queue.at(), now);
            let next = |following: &Following, at| following.next(&self.list, self.epoch, at);
            if following.input.keeps_records() {
                while queue.wants(events_max, now) {
                    let Some((record, hint)) = next(following, queue.ahead()) else { break };
                    queue.take(record, Some(hint));
                }
            }
            let hand = if queue.ahead() > queue.at() || next(following, queue.ahead()).is_some() {
                Hand::Applicable
            } else if following.hand.is_empty() {
                Hand::Empty
            } else {
                Hand::Gap
            };
            if following.input.input() == Input::Carrier && !self.log_answers {
                continue;
            }
            if let Some(switch) = following.input.look(hand, now.into_std()) {
                if switch != Switch::Leads {
                    following.forget(|_, _| false);
                }
                switched.push((following.lane, switch));
            }
        }
        switched
    }

    /// When there is something to do though nothing has come.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let looks = self.mine().filter_map(|following| following.input.next_look());
        let look = looks.map(Instant::from_std).filter(|at| *at > now).min();
        let heads = (self.heads.is_none() && self.needs_heads()).then_some(self.heads_at);
        let again = (matches!(self.way, Way::Closed) && self.mine().next().is_some())
            .then(|| self.trouble.until(now).unwrap_or(now));
        look.into_iter().chain(heads).chain(again).min()
    }

    /// Subscribes, if there is no subscription and it is time.
    pub(super) fn open(&mut self, inbox: &Inbox, now: Instant) {
        if !matches!(self.way, Way::Closed) || self.trouble.until(now).is_some() {
            return;
        }
        let (carrier, source, topic) =
            (Arc::clone(&self.carrier), inbox.source.clone(), Arc::clone(&inbox.topic));
        let from: Vec<_> = self.mine().map(|following| (following.lane, following.hint.clone())).collect();
        if from.is_empty() {
            return;
        }
        self.way = Way::Opening(Box::pin(async move { carrier.read(&source, &topic, from).await }));
    }

    /// The lanes whose heads are to be asked for now.
    pub(super) fn asks_heads(&self, now: Instant) -> Option<Vec<Lane>> {
        let due = self.heads.is_none() && self.heads_at <= now && self.needs_heads();
        due.then(|| {
            let on_carrier = self.mine().filter(|following| following.input.input() == Input::Carrier);
            on_carrier.map(|following| following.lane).collect()
        })
    }

    /// The question for heads is on its way.
    pub(super) fn asked_heads(&mut self, answer: BoxFuture<'static, Answer<Fetched, FetchRefused>>) {
        self.heads = Some(answer);
    }

    /// Waits for what comes. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Came {
        let Carried { heads, way, .. } = self;
        let heads = async {
            match heads {
                Some(answer) => answer.await,
                None => pending().await,
            }
        };
        let arrival = async {
            match way {
                Way::Closed => pending().await,
                Way::Opening(opening) => match opening.await {
                    Ok(arrivals) => {
                        *way = Way::Open(arrivals);
                        Came::Opened
                    }
                    Err(error) => Came::Closed(error),
                },
                Way::Open(arrivals) => match ended(arrivals.next().await) {
                    Ok(first) => {
                        let mut taken = vec![first];
                        let over = take_ready(arrivals, &mut taken).await;
                        if let Some(error) = over {
                            *way = Way::Over(error);
                        }
                        Came::Arrivals(taken)
                    }
                    Err(error) => Came::Closed(error),
                },
                Way::Over(error) => Came::Closed(error.clone()),
            }
        };
        tokio::select! {
            biased;
            answer = heads => {
                self.heads = None;
                self.log_answers = answer.is_ok();
                self.heads_at = Instant::now() + HEADS_EVERY;
                Came::Heads(answer)
            }
            came = arrival => came,
        }
    }

    /// A record has come out of the carrier; it is of our topic and source.
    pub(super) fn arrived(&mut self, record: Arc<Record>, hint: Hint, now: Instant) {
        let place = usize::from(record.lane.0);
        let has_room = self.has_room(place);
        let following = self.lanes.get_mut(place).filter(|following| following.mine);
        let Some(following) = following else { return };
        if epochs::belongs(&self.list, record.lane, self.epoch, (record.epoch, record.pos)) {
            following.input.brought(record.pos);
            if record.pos <= following.input.at() {
                following.hint = Some(hint);
                return;
            }
        } else {
            self.heads_at = self.heads_at.min(now + HEADS_SOON);
        }
        if has_room {
            following.keep(record, hint);
        }
    }

    /// Whether a lane can have one more record in hand.
    fn has_room(&self, place: usize) -> bool {
        let all = || self.lanes.iter().map(|following| following.bytes).sum();
        self.lanes.get(place).is_some_and(|following| following.has_room(all))
    }

    /// The source has said where its lanes end, in the epoch that was entered.
    pub(super) fn learnt(&mut self, heads: &[(Lane, Pos)], now: Instant) {
        for (lane, head) in heads {
            if let Some(following) = self.lanes.get_mut(usize::from(lane.0)) {
                following.input.learnt(*head, now.into_std());
            }
        }
    }

    /// A beacon knows of a newer epoch; whether it knows enough to enter it.
    pub(super) fn heard(&mut self, list: Epochs, heads: &[(Lane, Pos)]) -> bool {
        let knows_all =
            self.lanes.iter().all(|following| heads.iter().any(|(lane, _)| *lane == following.lane));
        if knows_all && self.beacon.as_ref().is_none_or(|known| known.current() < list.current()) {
            self.beacon = Some(list);
        }
        knows_all
    }

    /// The newer list that a beacon told, for a reader that does not reach its source.
    pub(super) fn take_beacon(&mut self) -> Option<Epochs> {
        self.beacon.take()
    }

    /// The subscription works: whether it did not before.
    pub(super) fn works(&mut self, now: Instant) -> bool {
        self.trouble.over(now).is_some()
    }

    /// The subscription is over; whether for the first time.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.way = Way::Closed;
        self.trouble.again(now)
    }

    /// The lanes that are applied here.
    fn mine(&self) -> impl Iterator<Item = &Following> {
        self.lanes.iter().filter(|following| following.mine)
    }

    fn needs_heads(&self) -> bool {
        self.mine().any(|following| following.input.input() == Input::Carrier)
    }
}

/// What has come already, without waiting; why nothing more will come, if so. It does not wait, so nothing is lost on the way.
async fn take_ready(
    arrivals: &mut Box<dyn Arrivals>,
    taken: &mut Vec<carrier::Carried>,
) -> Option<CarrierError> {
    let mut bytes: usize = taken.iter().map(size).sum();
    while taken.len() < ARRIVALS_AT_ONCE && bytes < ARRIVALS_BYTES_AT_ONCE {
        let mut next = arrivals.next();
        match poll_fn(|task| Poll::Ready(next.as_mut().poll(task))).await {
            Poll::Pending => return None,
            Poll::Ready(next) => match ended(next) {
                Ok(carried) => {
                    bytes += size(&carried);
                    taken.push(carried);
                }
                Err(error) => return Some(error),
            },
        }
    }
    None
}

fn size(carried: &carrier::Carried) -> usize {
    match carried {
        carrier::Carried::Record(record, _) => record.size(),
        carrier::Carried::Beacon { .. } => 0,
    }
}

fn ended(next: Option<Result<carrier::Carried, CarrierError>>) -> Result<carrier::Carried, CarrierError> {
    next.unwrap_or_else(|| Err(CarrierError::Unavailable("the subscription is over".to_owned())))
}

#[cfg(test)]
mod tests;
