//! One topic of one source: asks for more, applies lanes side by side, enters epochs.
//!
//! ```text
//! begin ──watermarks read──► follow ──a newer epoch, a moved watermark──► enter ─┐
//!   ▲                          │  ▲                                              │
//!   └──another consumer moved──┘  └──────────────────────────────────────────────┘
//! ```

use std::future::pending;
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_contract::event::LANES;
use divisi_contract::{Answer, CallError, CauseKind, Context, Deadline};
use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::{Class, Epoch, Epochs, Lane, Pos, Read, Record, StoreError, StoreErrorKind, Tx, TxFailed};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::Shared;
use super::batch::{self, Ended, Halt};
use super::breaker::Breaker;
use super::carried::{Came, Carried};
use super::entering::{self, Entering};
use super::queue::{Queue, Taken};
use super::status::{InputStatus, LaneState, LaneStatus};
use super::trouble::Trouble;
use crate::carrier::{self, Carrier};
use crate::event_log::Progress;
use crate::fetch::{BYTES_MAX, Feed, Fetch, FetchRefused, Fetched, LaneWanted, RECORDS_MAX};
use crate::lane::Switch;

/// A question that has been out for so long waits at the source: it is taken back when another lane wants something.
/// A younger one is about to be answered.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(1);
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
    asked: Option<Asked>,
    /// How many answers have come.
    n_answers: u64,
    n_empty_at_once: u32,
    source: Trouble,
    store: Trouble,
}

/// A question on its way.
struct Asked {
    since: Instant,
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
            asked: None,
            n_answers: 0,
            n_empty_at_once: 0,
            source: Trouble::new(backoff),
            store: Trouble::new(backoff),
            shared,
        }
    }

    /// Reads until the consumer stops. The batches under way end first.
    pub(super) async fn run(mut self) {
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
        self.farewell().await;
    }

    /// Reads the watermarks, after adding those that are missing.
    async fn begin(&mut self) -> Next {
        self.drain().await;
        let marks = match self.watermarks().await {
            Ok(marks) => marks,
            Err(error) => {
                self.store_failed("its watermarks cannot be read", &error);
                let until = self.store.until(Instant::now());
                return self.rest(until, Next::Begin).await;
            }
        };
        if self.carried.is_some()
            && let Err(error) = self.begin_carried(&marks).await
        {
            self.store_failed("where the carrier was left cannot be read", &error);
            let until = self.store.until(Instant::now());
            return self.rest(until, Next::Begin).await;
        }
        self.store_works();
        self.epoch = marks.iter().map(|(_, at)| at.epoch).max().unwrap_or_default();
        self.lanes = marks.iter().map(|(lane, at)| Queue::new(*lane, at.pos)).collect();
        let status = marks.iter().map(|(lane, at)| LaneStatus {
            pos: at.pos,
            head: None,
            state: LaneState::Following,
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

    /// Reads the list of epochs that was entered, and where the carrier was left.
    async fn begin_carried(&mut self, marks: &[(Lane, Watermark)]) -> Result<(), StoreError> {
        let inbox = &self.inbox;
        let (list, hints) = self
            .shared
            .store
            .read(async |read: &mut Read| {
                Ok::<_, StoreError>((entering::list(read, inbox, marks).await?, inbox.hints(read).await?))
            })
            .await?;
        let epoch = marks.iter().map(|(_, at)| at.epoch).max().unwrap_or_default();
        if let Some(carried) = &mut self.carried {
            carried.begin(marks, epoch, list, hints, Instant::now());
        }
        Ok(())
    }

    async fn watermarks(&mut self) -> Result<Vec<(Lane, Watermark)>, StoreError> {
        let inbox = &self.inbox;
        let declared =
            self.shared.store.run(Class::Consumer, async |tx: &mut Tx| inbox.declare(tx, LANES).await);
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
                came = came(&mut self.carried) => self.came(came),
                () = resumed => None,
                () = sleep_to(wake) => None,
            };
            if let Some(next) = next {
                self.asked = None;
                self.lanes.iter_mut().for_each(|lane| lane.asked = false);
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
        let lanes: Vec<LaneWanted> = self
            .lanes
            .iter()
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

    /// Begins a transaction for every lane that can go on.
    fn start(&mut self) {
        let now = Instant::now();
        let options = &self.shared.options;
        for queue in &mut self.lanes {
            if self.working.len() >= options.transactions_max.max(1) {
                return;
            }
            if !queue.ready(now) {
                continue;
            }
            queue.working = true;
            let batch = queue.batch(self.epoch, options.batch_events_max);
            let (shared, inbox, breaker) =
                (Arc::clone(&self.shared), Arc::clone(&self.inbox), Arc::clone(&self.breaker));
            self.working.spawn(async move {
                let ended = batch::apply(&shared, &inbox, &breaker, &batch).await;
                (batch.lane, ended)
            });
        }
    }

    /// Asks the source for all lanes that can take more, unless a question that names them is on its way.
    fn ask(&mut self) {
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
            Some(asked) if now.duration_since(asked.since) < ASK_AGAIN_AFTER => return,
            Some(_) if !self.lanes.iter().any(|lane| wants(lane) && !lane.asked) => return,
            _ => {}
        }
        let mut wanted: Vec<&mut Queue> = self.lanes.iter_mut().filter(|lane| wants(lane)).collect();
        if wanted.is_empty() {
            return;
        }
        wanted.sort_by_key(|lane| lane.served);
        let lanes: Vec<Lane> = wanted.iter().map(|lane| lane.lane).collect();
        for lane in wanted {
            lane.asked = true;
        }
        let answer = self.question(&lanes, RECORDS_MAX, self.shared.options.wait);
        self.asked = Some(Asked { since: now, answer });
    }

    /// Takes what is next out of the carrier, and looks which lanes change their feed.
    fn turn(&mut self) {
        let now = Instant::now();
        let Some(carried) = &mut self.carried else { return };
        carried.open(&self.inbox, now);
        let switched = carried.turn(&mut self.lanes, self.shared.options.batch_events_max, now);
        if let Some(lanes) = carried.asks_heads(now) {
            let heads = self.question(&lanes, 0, Duration::ZERO);
            if let Some(carried) = &mut self.carried {
                carried.asked_heads(heads);
            }
        }
        for (lane, switch) in switched {
            self.switched(lane, switch);
        }
    }

    fn switched(&self, lane: Lane, switch: Switch) {
        let why = match switch {
            Switch::Gap => "to the log: what comes next did not arrive",
            Switch::Behind => "to the log: the source has had more for a while",
            Switch::Leads => "to the carrier: it leads",
        };
        info!(
            consumer.name = %self.shared.name,
            event.source = %self.inbox.source,
            event.topic = %self.inbox.topic,
            event.lane = lane.0,
            "lane {lane} of `{}` goes {why}",
            self.inbox.topic
        );
        let input = self.carried.as_ref().map_or(crate::lane::Input::Log, |carried| carried.input(lane));
        self.tell(|status| {
            status.falls += u64::from(switch != Switch::Leads);
            if let Some(lane) = status.lanes.get_mut(usize::from(lane.0)) {
                lane.input = input;
            }
        });
    }

    /// Something has come out of the carrier, or the source has said where its lanes end.
    fn came(&mut self, came: Came) -> Option<Next> {
        let now = Instant::now();
        match came {
            Came::Arrival(carrier::Carried::Record(record, hint)) => {
                let mine = record.source == self.inbox.source && record.topic == self.inbox.topic;
                if let Some(carried) = self.carried.as_mut().filter(|_| mine) {
                    carried.arrived(record, hint, now);
                }
                None
            }
            Came::Arrival(carrier::Carried::Beacon { epochs, heads }) => self.heads(epochs, &heads, true),
            Came::Heads(Ok(fetched)) => self.heads(fetched.epochs, &fetched.heads, false),
            Came::Heads(Err(error)) => {
                debug!(event.topic = %self.inbox.topic, "where the lanes end is not known: {error}");
                None
            }
            Came::Opened => {
                if self.carried.as_mut().is_some_and(|carried| carried.works(now)) {
                    info!(event.topic = %self.inbox.topic, "the carrier brings `{}` again", self.inbox.topic);
                }
                None
            }
            Came::Closed(error) => {
                if self.carried.as_mut().is_some_and(|carried| carried.failed(now)) {
                    warn!(
                        event.topic = %self.inbox.topic,
                        "the carrier brings nothing of `{}`, which is read from the log where it must: {error}",
                        self.inbox.topic
                    );
                }
                None
            }
        }
    }

    /// The source's lanes end here, in this epoch: it said so itself, or in a beacon.
    fn heads(&mut self, epochs: Epochs, heads: &[(Lane, Pos)], beacon: bool) -> Option<Next> {
        let carried = self.carried.as_mut()?;
        let current = epochs.current();
        if current > self.epoch {
            return (!beacon || carried.heard(epochs, heads)).then_some(Next::Enter);
        }
        if current == self.epoch {
            carried.learnt(heads, Instant::now());
        }
        None
    }

    /// Whether what waits to be applied leaves room for another answer.
    fn has_room(&self) -> bool {
        self.lanes.iter().map(Queue::bytes).sum::<usize>() < self.shared.options.queue_bytes_max
    }

    fn question(
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
    fn answered(&mut self, answer: (Instant, Answer<Fetched, FetchRefused>)) -> Option<Next> {
        self.asked = None;
        let (since, answer) = answer;
        let next = match answer {
            Ok(fetched) => self.take(since, fetched),
            Err(error) => self.refused(error),
        };
        self.lanes.iter_mut().for_each(|lane| lane.asked = false);
        next
    }

    /// Takes what an answer has brought.
    fn take(&mut self, since: Instant, fetched: Fetched) -> Option<Next> {
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
        let heads = fetched.heads;
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
    fn arrived(&mut self, record: Arc<Record>) -> Option<Taken> {
        let mine = record.source == self.inbox.source && record.topic == self.inbox.topic;
        let queue = self.lanes.get_mut(usize::from(record.lane.0)).filter(|_| mine)?;
        if !queue.asked {
            return Some(Taken::Unasked);
        }
        queue.served = self.n_answers;
        Some(queue.take(record, None))
    }

    /// The source did not answer.
    fn refused(&mut self, error: CallError<FetchRefused>) -> Option<Next> {
        match error {
            CallError::Refused(refused @ (FetchRefused::NotAllowed | FetchRefused::NoSuchTopic)) => {
                return Some(Next::Ended(refused.to_string()));
            }
            CallError::Refused(FetchRefused::RetentionExceeded { lane, floor }) => {
                let reason = FetchRefused::RetentionExceeded { lane, floor }.to_string();
                match self.lanes.iter().position(|queue| queue.lane == lane && !queue.is_stopped()) {
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

    /// A lane's transaction has ended.
    fn joined(&mut self, ended: Result<(Lane, Ended), tokio::task::JoinError>) -> Option<Next> {
        let (lane, ended) = match ended {
            Ok(ended) => ended,
            // Handlers' panics do not come here: this one is ours.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return None,
        };
        let n = usize::from(lane.0);
        let now = Instant::now();
        let queue = self.lanes.get_mut(n)?;
        queue.working = false;
        match ended {
            Ended::Applied { to, handled, skipped, failed, halted } => {
                queue.moved(to);
                queue.careful = failed;
                if skipped > 0 {
                    self.skipped(lane, skipped);
                }
                if handled > 0 || halted.is_none() {
                    self.goes_on(n);
                }
                self.tell(|status| {
                    status.handled += handled;
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
                self.skipped(lane, skipped);
                self.tell(|status| {
                    if let Some(lane) = status.lanes.get_mut(n) {
                        lane.pos = at.pos;
                    }
                });
            }
            Ended::Failed(error) => self.failed(n, error, now),
            Ended::Unknown(error) => {
                warn!(
                    consumer.name = %self.shared.name,
                    event.topic = %self.inbox.topic,
                    event.lane = lane.0,
                    error = %error,
                    "it is not known whether a batch of lane {lane} happened: its watermark is read again"
                );
                let (shared, inbox) = (Arc::clone(&self.shared), Arc::clone(&self.inbox));
                queue.working = true;
                self.working.spawn(async move {
                    let look = shared.store.read(async |read: &mut Read| inbox.look(read, lane).await);
                    (lane, look.await.map_or_else(Ended::Failed, Ended::Moved))
                });
            }
        }
        None
    }

    /// A transaction of a lane was undone.
    fn failed(&mut self, n: usize, error: StoreError, now: Instant) {
        let Some(queue) = self.lanes.get_mut(n) else { return };
        // What a handler did may show only when the transaction ends: a deferred key, its time limit. With one event
        // a transaction it is known which; any other trouble is the store's and passes.
        let guilty = matches!(
            error.kind,
            StoreErrorKind::Constraint
                | StoreErrorKind::TooLong
                | StoreErrorKind::Waited
                | StoreErrorKind::Event
                | StoreErrorKind::Nested
        );
        if guilty {
            let alone = queue.is_alone();
            queue.one_by_one();
            if alone && queue.failed() >= self.shared.options.attempts_max {
                queue.condemn(error.message.clone());
            }
        }
        self.back_off(n, error.message, now);
    }

    fn halt(&mut self, n: usize, halt: Halt, now: Instant) {
        let Some(queue) = self.lanes.get_mut(n) else { return };
        match halt {
            Halt::Transient(reason) => self.back_off(n, reason, now),
            Halt::Attempt(reason) => {
                queue.failed();
                self.back_off(n, reason, now);
            }
            Halt::Pause(reason) => {
                let options = self.shared.options.pause;
                if !queue.is_paused() {
                    error!(
                        consumer.name = %self.shared.name,
                        event.source = %self.inbox.source,
                        event.topic = %self.inbox.topic,
                        event.lane = queue.lane.0,
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

    fn back_off(&mut self, n: usize, reason: String, now: Instant) {
        let options = &self.shared.options;
        let Some(queue) = self.lanes.get_mut(n) else { return };
        let attempts = queue.back_off(now, |attempts| options.backoff.after(attempts));
        if attempts == 1 {
            warn!(
                consumer.name = %self.shared.name,
                event.source = %self.inbox.source,
                event.topic = %self.inbox.topic,
                event.lane = queue.lane.0,
                "lane {} of `{}` waits and tries again: {reason}",
                queue.lane,
                self.inbox.topic
            );
        } else if queue.alarm(now, options.alarm_after) {
            error!(
                consumer.name = %self.shared.name,
                event.source = %self.inbox.source,
                event.topic = %self.inbox.topic,
                event.lane = queue.lane.0,
                attempts,
                "lane {} of `{}` has not gone on for {:?}: {reason}",
                queue.lane,
                self.inbox.topic,
                options.alarm_after
            );
        }
        self.tell_lane(n, LaneState::BackingOff { reason, attempts });
    }

    fn goes_on(&mut self, n: usize) {
        let Some(queue) = self.lanes.get_mut(n) else { return };
        if queue.free_again() {
            info!(
                consumer.name = %self.shared.name,
                event.topic = %self.inbox.topic,
                event.lane = queue.lane.0,
                "lane {} of `{}` goes on",
                queue.lane,
                self.inbox.topic
            );
            self.tell_lane(n, LaneState::Following);
        }
    }

    fn stop_lane(&mut self, n: usize, reason: String) {
        let Some(queue) = self.lanes.get_mut(n) else { return };
        queue.stop();
        error!(
            consumer.name = %self.shared.name,
            event.source = %self.inbox.source,
            event.topic = %self.inbox.topic,
            event.lane = queue.lane.0,
            "lane {} of `{}` stops: {reason}",
            queue.lane,
            self.inbox.topic
        );
        self.tell_lane(n, LaneState::Stopped { reason });
    }

    /// Lets the lanes go on that an operator has named.
    fn resume(&mut self) {
        for lane in self.shared.board.resumes(self.place) {
            self.breaker.reset();
            self.goes_on(usize::from(lane.0));
        }
    }

    fn skipped(&self, lane: Lane, skipped: i64) {
        debug!(
            consumer.name = %self.shared.name,
            event.topic = %self.inbox.topic,
            event.lane = lane.0,
            "skipped {skipped} events of lane {lane}: another consumer of this name has applied them"
        );
    }

    fn source_failed(&mut self, reason: String) {
        if self.source.again(Instant::now()) {
            warn!(
                consumer.name = %self.shared.name,
                event.source = %self.inbox.source,
                event.topic = %self.inbox.topic,
                "`{}` brings nothing of `{}`, it is asked again and again: {reason}",
                self.inbox.source,
                self.inbox.topic
            );
        }
        self.tell(|status| status.trouble = Some(reason));
    }

    fn source_works(&mut self) {
        if let Some(span) = self.source.over(Instant::now()) {
            info!(
                consumer.name = %self.shared.name,
                event.source = %self.inbox.source,
                event.topic = %self.inbox.topic,
                "`{}` answers again, after {span:?}",
                self.inbox.source
            );
            self.tell(|status| status.trouble = None);
        }
    }

    fn store_failed(&mut self, what: &str, error: &StoreError) {
        if self.store.again(Instant::now()) {
            warn!(
                consumer.name = %self.shared.name,
                event.topic = %self.inbox.topic,
                error = %error,
                "{what}, it is tried again and again"
            );
        }
        let reason = format!("{what}: {error}");
        self.tell(|status| status.trouble = Some(reason));
    }

    fn store_works(&mut self) {
        if self.store.over(Instant::now()).is_some() {
            self.tell(|status| status.trouble = None);
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
        let again = self.asked.as_ref().map(|asked| asked.since + ASK_AGAIN_AFTER).filter(|_| {
            let from_log = |lane: &Queue| carried.is_none_or(|carried| carried.reads_log(lane.lane));
            self.has_room()
                && self.lanes.iter().any(|lane| lane.wants(events_max, now) && !lane.asked && from_log(lane))
        });
        let carried = carried.and_then(|carried| carried.next_wake(now));
        lanes.into_iter().chain(carried).chain(again).chain(self.source.until(now)).min()
    }

    fn tell_lane(&self, n: usize, state: LaneState) {
        self.tell(|status| {
            if let Some(lane) = status.lanes.get_mut(n) {
                lane.state = state;
            }
        });
    }

    fn tell(&self, change: impl FnOnce(&mut InputStatus)) {
        self.shared.board.tell(self.place, change);
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

/// Waits until the consumer is to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could say stop is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}
