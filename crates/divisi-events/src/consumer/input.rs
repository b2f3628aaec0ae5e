//! One topic of one source: asks for more, applies lanes side by side, enters epochs.
//!
//! ```text
//! begin ──watermarks read──► follow ──a newer epoch, a moved watermark──► enter ─┐
//!   ▲                          │  ▲                                              │
//!   └──another consumer moved──┘  └──────────────────────────────────────────────┘
//! ```

mod applying;
mod asking;
mod carrying;
mod sharing;
mod telling;

use std::future::{Future, pending};
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_contract::event::LANES;
use divisi_contract::{Answer, CallError, Context, Deadline};
use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::{Class, Epoch, Lane, Read, StoreError, Tx, TxFailed};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use tracing::{debug, error};

use super::Shared;
use super::batch::Ended;
use super::breaker::Breaker;
use super::carried::{Came, Carried};
use super::entering::{self, Entering};
use super::pace::Pace;
use super::queue::Queue;
use super::status::{LaneState, LaneStatus};
use super::trouble::Trouble;
use crate::carrier::Carrier;
use crate::event_log::Progress;
use crate::fetch::{Feed, FetchRefused, Fetched, LaneWanted};
use sharing::{Sharing, said};

/// A question that has been out for longer than this waits at the source: it is taken back when another lane wants something.
/// A younger one is about to be answered.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(1);
/// One that the source has an answer to is left alone for twice as long as the last such answer took, and for so long at the most: taken
/// back, it has cost the source a page that nobody reads.
const ANSWER_EXPECTED_MAX: Duration = Duration::from_millis(250);
/// How much longer than it may wait there a question may take in all.
const ANSWER_SLACK: Duration = Duration::from_secs(15);
/// How long telling the source of the last progress may delay a stop.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// An answer that brings nothing, though the question may wait, comes at once if it takes less than this …
const AT_ONCE: Duration = Duration::from_millis(5);
/// … and after so many of them in a row the source is given a rest.
const EMPTY_AT_ONCE_MAX: u32 = 3;

/// One topic of one source.
pub(super) struct Input {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    feed: Arc<dyn Feed>,
    /// What comes out of a carrier, if there is one.
    carried: Option<Carried>,
    breaker: Arc<Breaker>,
    /// Where it reports on the board.
    place: usize,
    stop: watch::Receiver<bool>,
    /// The epoch that was entered.
    epoch: Epoch,
    lanes: Vec<Queue>,
    working: JoinSet<(Lane, Ended)>,
    /// The place of the lane that may begin a transaction first.
    begins_next: usize,
    /// When a lane that can go on may begin though nothing has ended.
    held_back: Option<Instant>,
    pace: Pace,
    asked: Option<Asked>,
    /// Whose lanes they are is being asked, or will be again.
    sharing: Sharing,
    /// How long the last answer took that was expected.
    answers_take: Duration,
    /// How many answers have come.
    n_answers: u64,
    n_empty_at_once: u32,
    source: Trouble,
    store: Trouble,
}

/// A question on its way.
struct Asked {
    since: Instant,
    /// When it may be taken back.
    again_at: Instant,
    /// Whether the source has what it asks for, as far as is known.
    expected: bool,
    answer: BoxFuture<'static, Answer<Fetched, FetchRefused>>,
}

/// What comes next.
enum Next {
    /// Read the watermarks.
    Begin,
    /// Enter the source's epoch of today.
    Enter,
    /// Ask and apply.
    Follow,
    /// Nothing more before the consumer starts again, and why.
    Ended(String),
    /// The consumer stops.
    Stop,
}

impl Input {
    pub(super) fn new(
        shared: Arc<Shared>,
        inbox: Inbox,
        feed: Arc<dyn Feed>,
        carrier: Option<Arc<dyn Carrier>>,
        place: usize,
        stop: watch::Receiver<bool>,
    ) -> Input {
        let backoff = shared.options.backoff;
        Input {
            breaker: Arc::new(Breaker::new(shared.options.pause)),
            inbox: Arc::new(inbox),
            feed,
            carried: carrier.map(|carrier| Carried::new(carrier, backoff)),
            place,
            stop,
            epoch: Epoch(0),
            lanes: Vec::new(),
            working: JoinSet::new(),
            begins_next: 0,
            held_back: None,
            pace: Pace::default(),
            asked: None,
            sharing: Sharing::default(),
            answers_take: Duration::ZERO,
            n_answers: 0,
            n_empty_at_once: 0,
            source: Trouble::new(backoff),
            store: Trouble::new(backoff),
            shared,
        }
    }

    /// Reads until the consumer stops. The batches under way end first, and so do parked keys that are tried, of which `redriven`
    /// tells: who takes the lanes over, or looks how far this is, finds nothing under way.
    pub(super) async fn run(mut self, mut redriven: watch::Receiver<()>) {
        let mut next = Next::Begin;
        loop {
            next = match next {
                Next::Begin => self.begin().await,
                Next::Enter => self.enter().await,
                Next::Follow => self.follow().await,
                Next::Ended(reason) => self.ended(reason).await,
                Next::Stop => break,
            };
        }
        self.drain().await;
        while redriven.changed().await.is_ok() {}
        self.leave().await;
        self.farewell().await;
    }

    /// Reads the watermarks, after adding those that are missing.
    async fn begin(&mut self) -> Next {
        self.drain().await;
        let mut stop = self.stop.clone();
        let Some(marks) = unless(&mut stop, self.watermarks()).await else { return Next::Stop };
        let marks = match marks {
            Ok(marks) => marks,
            Err(error) => {
                self.store_failed("its watermarks cannot be read", &error);
                let until = self.store.until(Instant::now());
                return self.rest(until, Next::Begin).await;
            }
        };
        if self.carried.is_some() {
            match unless(&mut stop, self.begin_carried(&marks)).await {
                None => return Next::Stop,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.store_failed("where the carrier was left cannot be read", &error);
                    let until = self.store.until(Instant::now());
                    return self.rest(until, Next::Begin).await;
                }
            }
        }
        self.store_works();
        self.epoch = marks.iter().map(|(_, at)| at.epoch).max().unwrap_or_default();
        let mine = self.mine();
        self.lanes = marks.iter().map(|(lane, at)| Queue::new(*lane, at.pos, mine.has(*lane))).collect();
        self.sharing.again();
        let status = marks.iter().map(|(lane, at)| LaneStatus {
            pos: at.pos,
            head: None,
            state: if mine.has(*lane) { LaneState::Following } else { LaneState::Elsewhere },
            input: self.carried.as_ref().map_or(crate::lane::Input::Log, |carried| carried.input(*lane)),
        });
        let (lanes, epoch) = (status.collect(), self.epoch);
        self.tell(|status| (status.lanes, status.epoch) = (lanes, epoch));
        for (n, (_, at)) in marks.iter().enumerate() {
            if at.epoch != self.epoch {
                self.stop_lane(n, "it did not enter the source's epoch with the others".to_owned());
            }
        }
        Next::Follow
    }

    /// May be dropped at any time: declaring lanes again changes nothing.
    async fn watermarks(&mut self) -> Result<Vec<(Lane, Watermark)>, StoreError> {
        let inbox = &self.inbox;
        let declared =
            self.shared.store.run(Class::Upkeep, async |tx: &mut Tx| inbox.declare(tx, LANES).await);
        match declared.await {
            Ok(_) => {}
            Err(TxFailed::Body(error) | TxFailed::DidNotHappen(error) | TxFailed::MayHaveHappened(error)) => {
                return Err(error);
            }
        }
        self.shared.store.read(async |read: &mut Read| inbox.read(read).await).await
    }

    /// Asks for the source's list of epochs, for all lanes, and enters the last of them.
    async fn enter(&mut self) -> Next {
        self.asked = None;
        self.drain().await;
        let lanes: Vec<Lane> =
            self.lanes.iter().filter(|lane| !lane.is_stopped()).map(|lane| lane.lane).collect();
        let answer = self.question(&lanes, 0, Duration::ZERO);
        let answer = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return Next::Stop,
            answer = answer => answer,
        };
        let beacon = self.carried.as_mut().and_then(Carried::take_beacon);
        let list = match (answer, beacon) {
            (Ok(fetched), _) => fetched.epochs,
            // The source is not reached, but it has said on the carrier what is to be known.
            (Err(CallError::NotRun(_) | CallError::MayHaveRun(_)), Some(list)) => list,
            (Err(error), _) => {
                if let Some(next) = self.refused(error) {
                    return next;
                }
                let until = self.source.until(Instant::now());
                return self.rest(until, Next::Enter).await;
            }
        };
        if list.current() <= self.epoch {
            return Next::Follow;
        }
        match entering::enter(&self.shared.store, &self.inbox, &list, &lanes).await {
            Entering::Entered(diverged) => {
                self.store_works();
                debug!(
                    consumer.name = %self.shared.name,
                    event.source = %self.inbox.source,
                    event.topic = %self.inbox.topic,
                    event.epoch = list.current().0,
                    "`{}` has entered a new epoch of `{}`",
                    self.shared.name,
                    self.inbox.source
                );
                for lost in &diverged {
                    error!(
                        consumer.name = %self.shared.name,
                        event.source = %self.inbox.source,
                        event.topic = %self.inbox.topic,
                        event.lane = lost.lane.0,
                        event.epoch = lost.epoch.0,
                        event.shared_pos = lost.shared.0,
                        event.applied_pos = lost.applied.0,
                        "source diverged: `{}` no longer knows the events {} to {} of lane {} of `{}`, which took effect \
                         here",
                        self.inbox.source,
                        lost.shared.next(),
                        lost.applied,
                        lost.lane,
                        self.inbox.topic
                    );
                }
                self.tell(|status| status.diverged.extend(diverged));
                Next::Begin
            }
            Entering::Done => Next::Begin,
            Entering::Cannot(cannot) => Next::Ended(cannot.to_string()),
            Entering::Failed(error) => {
                self.store_failed("a new epoch cannot be entered", &error);
                let until = self.store.until(Instant::now());
                self.rest(until, Next::Enter).await
            }
        }
    }

    /// Asks and applies, until something else must be done first.
    async fn follow(&mut self) -> Next {
        let shared = Arc::clone(&self.shared);
        loop {
            let resumed = shared.board.resumed.notified();
            self.share();
            self.resume();
            self.turn();
            self.start();
            self.ask();
            let wake = self.next_wake();
            let next = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => Some(Next::Stop),
                answer = answered(&mut self.asked) => self.answered(answer),
                Some(ended) = self.working.join_next() => self.joined(ended),
                lanes = said(&mut self.sharing) => self.shared(lanes),
                came = came(&mut self.carried) => self.came(came),
                () = resumed => None,
                () = sleep_to(wake) => None,
            };
            if let Some(next) = next {
                self.asked = None;
                self.lanes.iter_mut().for_each(|lane| lane.asked = false);
                // It may hold a connection, and is not polled where this goes next.
                self.sharing.again();
                return next;
            }
        }
    }

    /// Nothing more is read; what is under way ends.
    async fn ended(&mut self, reason: String) -> Next {
        error!(
            consumer.name = %self.shared.name,
            event.source = %self.inbox.source,
            event.topic = %self.inbox.topic,
            "`{}` reads no more of `{}`: {reason}",
            self.shared.name,
            self.inbox.topic
        );
        self.drain().await;
        self.tell(|status| status.ended = Some(reason));
        stopped(&mut self.stop).await;
        Next::Stop
    }

    /// Tells the source how far this went, since no question will. If it does not hear, it learns at the next start.
    async fn farewell(&mut self) {
        if self.source.goes_on() {
            debug!(consumer.name = %self.shared.name, event.source = %self.inbox.source, "progress is not told: nobody answers");
            return;
        }
        let lanes: Vec<LaneWanted> = self
            .lanes
            .iter()
            // Of others', other instances know better.
            .filter(|queue| queue.mine)
            .map(|queue| LaneWanted {
                lane: queue.lane,
                epoch: self.epoch,
                pos: queue.at(),
                applied: queue.at(),
            })
            .collect();
        if lanes.is_empty() {
            return;
        }
        let told = Progress {
            reader: Arc::clone(&self.inbox.consumer),
            topic: Arc::clone(&self.inbox.topic),
            lanes,
        };
        let deadline = Deadline::after(divisi_call::now(), FAREWELL_MAX);
        let cx = Context::root(self.shared.store.service()).with_deadline(deadline);
        match tokio::time::timeout(FAREWELL_MAX, self.feed.progress(&cx, told)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                debug!(consumer.name = %self.shared.name, error = %error, "progress was not told")
            }
            Err(_) => debug!(consumer.name = %self.shared.name, "progress was not told in time"),
        }
    }

    /// Lets every transaction under way end.
    async fn drain(&mut self) {
        while let Some(ended) = self.working.join_next().await {
            // What it says of epochs does not matter: whoever drains looks anew.
            let _ = self.joined(ended);
        }
    }

    /// Waits, unless the consumer stops.
    async fn rest(&mut self, until: Option<Instant>, next: Next) -> Next {
        let until = until.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Next::Stop,
            () = sleep_until(until) => next,
        }
    }

    /// When there is something to do though nothing has happened.
    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let lanes = self.lanes.iter().filter_map(|lane| lane.next_wake(now)).min();
        let events_max = self.shared.options.batch_events_max;
        let carried = self.carried.as_ref();
        let again = self.asked.as_ref().map(|asked| asked.again_at).filter(|_| {
            let from_log = |lane: &Queue| carried.is_none_or(|carried| carried.reads_log(lane.lane));
            self.has_room()
                && self.lanes.iter().any(|lane| lane.wants(events_max, now) && !lane.asked && from_log(lane))
        });
        let carried = carried.and_then(|carried| carried.next_wake(now));
        let share = self.next_share();
        let times = lanes.into_iter().chain(carried).chain(again).chain(share);
        times.chain(self.held_back).chain(self.source.until(now)).min()
    }
}

async fn answered(asked: &mut Option<Asked>) -> (Instant, Answer<Fetched, FetchRefused>) {
    match asked {
        Some(asked) => (asked.since, (&mut asked.answer).await),
        None => pending().await,
    }
}

async fn came(carried: &mut Option<Carried>) -> Came {
    match carried {
        Some(carried) => carried.next().await,
        None => pending().await,
    }
}

async fn sleep_to(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// What `work` brings; `None` if the consumer is to stop before, and then `work` is dropped.
pub(super) async fn unless<T>(stop: &mut watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stopped(stop) => None,
        done = work => Some(done),
    }
}

/// Waits until the consumer is to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could say stop is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}
