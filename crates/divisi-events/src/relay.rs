//! From the log to a carrier, in order, at least once.
//!
//! A relay is a reader of the log whose effect is a publish. What it publishes twice is skipped by the consumers,
//! what it leaves out they read from the log: two relays at once, or one that was stopped and comes back, cost work
//! and do no harm.

mod cursor;
mod join;
mod lease;
mod start;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::{CallError, CauseKind, Context};
use divisi_store::mutation::{self, Mutation};
use divisi_store::{Epoch, Epochs, Lane, Pos, Record, Store, StoreError, failpoint};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::carrier::{Carrier, CarrierError, Head, Hint, PublishError};
use crate::epochs;
use crate::fetch::{BYTES_MAX, Feed, Fetch, FetchRefused, Fetched, LaneWanted, RECORDS_MAX};

pub use lease::{Granted, Lease, Leased};
pub use start::{Ahead, Start, start_at};

/// How often a relay tells what its source's epochs and heads are, on the carrier.
pub const BEACON_EVERY: Duration = Duration::from_secs(5);
/// How often it renews its lease, and how often it keeps its cursor.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);
/// How long keeping the cursor and giving the lease back may delay a stop.
pub const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// How many answers of the log are published together, while there is more: the carrier is waited for once for all of them, and under load
/// that, not the log, is what takes time.
const ANSWERS_AT_ONCE: usize = 4;
/// The first pause after a publish that failed; each further failure doubles it.
pub const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Moves one topic's events from the log to a carrier, keeping the order within each lane.
///
/// An event is published at least once. After a failure the lane goes back to the first record that was not
/// acknowledged. The relay never looks at an event's content.
pub struct Relay {
    store: Store,
    topic: Arc<str>,
    reader: Arc<str>,
    feed: Arc<dyn Feed>,
    carrier: Arc<dyn Carrier>,
    lease: Arc<dyn Lease>,
    lanes: Vec<Cursor>,
    epoch: Epoch,
    saved_at: Instant,
    /// The token of the lease, as long as it is believed to be held.
    leads: Option<u64>,
    /// Whether the lanes stand where they are to go on: before, their places are none to be kept.
    placed: bool,
    /// Whether something was not published the last time: less goes at once until it is.
    failed: bool,
}

/// How far a relay is in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    lane: Lane,
    pos: Pos,
    saved: Option<Pos>,
}

/// The records that are next, lane by lane.
type Runs = Vec<(Lane, Vec<Arc<Record>>)>;

/// What one step did.
#[derive(Debug, Default)]
pub struct Stepped {
    /// How many records the carrier acknowledged.
    pub published: usize,
    /// The first failure; its lane goes back to it.
    pub failed: Option<PublishError>,
}

/// Why a relay has to begin anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// Another relay leads, as the lease or the carrier says.
    #[error("another relay publishes `{topic}` now")]
    Fenced {
        /// The topic.
        topic: Arc<str>,
    },
    /// The carrier has forgotten what was published; it is filled again from what it still holds.
    #[error("what was published of `{topic}` is not on the carrier any more")]
    Forgotten {
        /// The topic.
        topic: Arc<str>,
        /// How that showed.
        source: PublishError,
    },
    /// The log could not be read; nothing was published.
    #[error("cannot read the log of `{topic}`")]
    Log {
        /// The topic.
        topic: Arc<str>,
        /// Why.
        source: CallError<FetchRefused>,
    },
    /// The carrier could not say what it holds.
    #[error("cannot ask the carrier how far `{topic}` was published")]
    Carrier {
        /// The topic.
        topic: Arc<str>,
        /// Why.
        source: CarrierError,
    },
    /// The lease or the cursor could not be read or written.
    #[error("cannot keep how far `{topic}` was published")]
    Cursor {
        /// The topic.
        topic: Arc<str>,
        /// Why.
        source: StoreError,
    },
}

impl RelayError {
    /// Whether the log only is not read any more because its service ends in order.
    fn is_draining(&self) -> bool {
        let RelayError::Log { source: CallError::NotRun(cause), .. } = self else { return false };
        cause.kind == CauseKind::Draining
    }
}

impl Relay {
    /// A relay of `lanes` of `topic`, from the log behind `feed` to `carrier`. `store` is the source's: it holds the
    /// cursor.
    pub fn new(
        store: Store,
        topic: impl Into<Arc<str>>,
        lanes: impl IntoIterator<Item = Lane>,
        feed: Arc<dyn Feed>,
        carrier: Arc<dyn Carrier>,
        lease: Arc<dyn Lease>,
    ) -> Relay {
        let reader = Relay::reader_name(carrier.name()).into();
        let lanes = lanes.into_iter().map(|lane| Cursor { lane, pos: Pos(0), saved: None }).collect();
        let (topic, epoch, saved_at) = (topic.into(), Epoch(0), Instant::now());
        Relay {
            store,
            topic,
            reader,
            feed,
            carrier,
            lease,
            lanes,
            epoch,
            saved_at,
            leads: None,
            placed: false,
            failed: false,
        }
    }

    /// The reader under which a relay to the carrier of this name is registered.
    pub fn reader_name(carrier: &str) -> String {
        format!("relay:{carrier}")
    }

    /// Publishes until `stop` is ready. Trouble is waited out; a lost lease is taken again when it is free.
    ///
    /// At the end it keeps its cursor and gives the lease back, within [`LEAVE_WITHIN`]: the next one need not wait. One that is
    /// dropped instead leaves a lease that runs out, and does no other harm.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            never = self.go_on() => match never {},
        }
        let left = async {
            let kept = match self.leads.take() {
                Some(token) if self.placed => self.save(token).await,
                _ => Ok(()),
            };
            // Also what was just granted, and nobody has heard of yet.
            let released = self.lease.release(&self.lease_name()).await;
            kept.and(released.map_err(|source| self.cursor_error(source)))
        };
        match timeout(LEAVE_WITHIN, left).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(event.topic = %self.topic, "the lease is not given back: {error}"),
            Err(_) => debug!(event.topic = %self.topic, "the lease is not given back in time"),
        }
    }

    async fn go_on(&mut self) -> std::convert::Infallible {
        let mut pause = PAUSE_MIN;
        loop {
            match self.lead(&mut pause).await {
                Ok(None) => sleep(RENEW_EVERY).await,
                Ok(Some(never)) => match never {},
                Err(error @ RelayError::Fenced { .. }) => {
                    info!(event.topic = %self.topic, "{error}");
                    sleep(RENEW_EVERY).await;
                }
                // The process ends, and says so itself; this relay is told next.
                Err(error) if error.is_draining() => {
                    debug!(event.topic = %self.topic, "{error}: the service is shutting down");
                    sleep(RENEW_EVERY).await;
                }
                Err(error) => {
                    warn!(event.topic = %self.topic, error = &error as &dyn std::error::Error, "{error}");
                    sleep(longer(&mut pause)).await;
                }
            }
        }
    }

    /// Leads until something is wrong; `None` when another relay holds the lease.
    async fn lead(&mut self, pause: &mut Duration) -> Result<Option<std::convert::Infallible>, RelayError> {
        let Some(token) = self.take_lease().await? else { return Ok(None) };
        for ahead in self.start().await? {
            warn!(
                event.topic = %self.topic,
                event.lane = ahead.lane.0,
                carrier.pos = ahead.carrier.0,
                log.pos = ahead.log.0,
                "carrier_ahead: the carrier holds events of lane {} up to {} that the log does not know beyond {}",
                ahead.lane,
                ahead.carrier,
                ahead.log,
            );
        }
        let (mut renew_at, mut beacon_at) = (Instant::now() + RENEW_EVERY, Instant::now());
        loop {
            if Instant::now() >= renew_at {
                if self.take_lease().await? != Some(token) {
                    return Err(self.fenced());
                }
                renew_at = Instant::now() + RENEW_EVERY;
            }
            if Instant::now() >= beacon_at {
                if let Err(error) = self.beacon().await? {
                    debug!(event.topic = %self.topic, "no beacon: {error}");
                }
                beacon_at = Instant::now() + BEACON_EVERY;
            }
            let wait = renew_at.min(beacon_at).saturating_duration_since(Instant::now());
            let stepped = self.step(token, wait).await?;
            match stepped.failed {
                None if stepped.published > 0 => *pause = PAUSE_MIN,
                None => {}
                Some(error) => {
                    let pause = longer(pause);
                    warn!(event.topic = %self.topic, "not published, trying again in {pause:?}: {error}");
                    sleep(pause).await;
                }
            }
        }
    }

    /// Finds where to go on, and brings the lanes in which the carrier holds more than the log.
    ///
    /// The carrier is asked before the log: what it holds of this history is then in the log for certain.
    pub async fn start(&mut self) -> Result<Vec<Ahead>, RelayError> {
        self.placed = false;
        let source = self.store.service().clone();
        let asked = self.lanes.iter().map(|cursor| {
            let lane = cursor.lane;
            Box::pin(self.carrier.head(&source, &self.topic, lane)) as BoxFuture<'_, _>
        });
        let heads: Result<Vec<Head>, CarrierError> =
            join::all(asked.collect(), |_| ()).await.into_iter().collect();
        let heads = heads.map_err(|source| RelayError::Carrier { topic: self.topic.clone(), source })?;
        let stored = self.stored().await?;
        for cursor in &mut self.lanes {
            cursor.pos = Pos(0);
        }
        self.epoch = Epoch(0);
        let log = self.look().await?;
        self.epoch = log.epochs.current();
        let mut raised = Vec::new();
        for (cursor, head) in self.lanes.iter_mut().zip(heads) {
            let end = log.heads.iter().find(|(lane, _)| *lane == cursor.lane).map_or(Pos(0), |(_, end)| *end);
            let kept = stored.iter().find(|(lane, _, _)| *lane == cursor.lane);
            let kept = kept.map(|(_, epoch, pos)| (*epoch, *pos));
            let start = start_at(head, kept, &log.epochs, cursor.lane, end);
            // What `look` has raised to the floor stays there.
            *cursor = Cursor { pos: start.pos.max(cursor.pos), saved: None, ..*cursor };
            raised.extend(start.ahead);
        }
        self.placed = true;
        Ok(raised)
    }

    /// Publishes what comes next, waiting for it at most `wait`, and keeps the cursor from time to time.
    pub async fn step(&mut self, token: u64, wait: Duration) -> Result<Stepped, RelayError> {
        let Some(runs) = self.next_runs(wait).await? else { return Ok(Stepped::default()) };
        let stepped = self.publish(token, &runs).await;
        match stepped.failed {
            Some(PublishError::Fenced) => return Err(self.fenced()),
            // Where the lanes stand now says nothing of what the carrier holds, and is not to be kept.
            Some(source @ PublishError::Forgotten(_)) => {
                self.placed = false;
                return Err(RelayError::Forgotten { topic: self.topic.clone(), source });
            }
            _ => {}
        }
        self.failed = stepped.failed.is_some();
        let idle = stepped.published == 0;
        if idle || self.saved_at.elapsed() >= RENEW_EVERY {
            self.save(token).await?;
        }
        Ok(stepped)
    }

    /// What comes next, out of one answer of the log or several; none when the lanes have to be looked at anew.
    async fn next_runs(&mut self, wait: Duration) -> Result<Option<Runs>, RelayError> {
        let mut wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let mut runs = Runs::new();
        let most = if self.failed { 1 } else { ANSWERS_AT_ONCE };
        for _ in 0..most {
            let fetched = match self.ask(&runs, RECORDS_MAX, wait_ms).await {
                Ok(Some(fetched)) => fetched,
                Ok(None) => return Ok(None),
                Err(error) if runs.is_empty() => return Err(error),
                // What there is goes first; whoever asks next is told.
                Err(_) => break,
            };
            if fetched.epochs.current() > self.epoch {
                self.enter(&fetched.epochs);
                return Ok(None);
            }
            self.lengthen(&mut runs, &fetched.records);
            // The lane that had its turn longest ago is asked for first the next time.
            let served: HashSet<Lane> = fetched.records.iter().map(|record| record.lane).collect();
            self.lanes.sort_by_key(|cursor| served.contains(&cursor.lane));
            let is_all = |(lane, end): &(Lane, Pos)| {
                let cursor = self.lanes.iter().find(|cursor| cursor.lane == *lane);
                cursor.is_none_or(|cursor| end_of(&runs, cursor) >= *end)
            };
            if fetched.records.is_empty() || fetched.heads.iter().all(is_all) {
                break;
            }
            wait_ms = 0;
        }
        Ok(Some(runs))
    }

    /// Tells readers of the carrier what the source's epochs and heads are.
    pub async fn beacon(&mut self) -> Result<Result<(), PublishError>, RelayError> {
        let log = self.look().await?;
        Ok(self.carrier.beacon(self.store.service(), &self.topic, &log.epochs, &log.heads).await)
    }

    /// The lease's token, taken or renewed.
    pub async fn take_lease(&mut self) -> Result<Option<u64>, RelayError> {
        let taken = self.lease.take(&self.lease_name()).await.map_err(|source| self.cursor_error(source))?;
        if taken != self.leads {
            // Another one may have led in between, and gone further.
            self.placed = false;
        }
        self.leads = taken;
        Ok(taken)
    }

    fn lease_name(&self) -> String {
        format!("{}/{}", self.reader, self.topic)
    }

    /// Heads and epochs, no records.
    async fn look(&mut self) -> Result<Fetched, RelayError> {
        loop {
            if let Some(log) = self.ask(&Runs::new(), 0, 0).await? {
                return Ok(log);
            }
        }
    }

    /// Asks the log for what comes behind `runs`; `None` when a lane was raised to its floor and is to be asked again.
    async fn ask(
        &mut self,
        runs: &Runs,
        max_records: u32,
        wait_ms: u32,
    ) -> Result<Option<Fetched>, RelayError> {
        let epoch = self.epoch;
        let want = |cursor: &Cursor| LaneWanted {
            lane: cursor.lane,
            epoch,
            pos: end_of(runs, cursor),
            applied: cursor.saved.unwrap_or_default().min(cursor.pos),
        };
        let fetch = Fetch {
            topic: self.topic.clone(),
            reader: self.reader.clone(),
            lanes: self.lanes.iter().map(want).collect(),
            max_records,
            max_bytes: BYTES_MAX,
            wait_ms,
        };
        match self.feed.fetch(&Context::root(self.store.service().clone()), fetch).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(CallError::Refused(FetchRefused::RetentionExceeded { lane, floor })) => {
                let cursor = self.lanes.iter_mut().find(|cursor| cursor.lane == lane && cursor.pos < floor);
                let Some(cursor) = cursor else { return Err(self.log_error(retention(lane, floor))) };
                cursor.pos = floor;
                Ok(None)
            }
            Err(source) => Err(self.log_error(source)),
        }
    }

    /// The source began an epoch: everything beyond a fork is of another history.
    fn enter(&mut self, list: &Epochs) {
        for cursor in &mut self.lanes {
            cursor.pos = cursor.pos.min(epochs::beyond(list, cursor.lane, self.epoch));
            cursor.saved = None;
        }
        self.epoch = list.current();
    }

    /// Puts behind `runs` the records that are next there.
    fn lengthen(&self, runs: &mut Runs, records: &[Arc<Record>]) {
        for record in records {
            let Some(cursor) = self.lanes.iter().find(|cursor| cursor.lane == record.lane) else { continue };
            if record.pos != end_of(runs, cursor).next() {
                continue;
            }
            match runs.iter_mut().find(|(lane, _)| *lane == record.lane) {
                Some((_, run)) => run.push(Arc::clone(record)),
                None => runs.push((record.lane, vec![Arc::clone(record)])),
            }
        }
    }

    async fn publish(&mut self, token: u64, runs: &Runs) -> Stepped {
        let source = self.store.service().clone();
        let sent = runs
            .iter()
            .map(|(lane, run)| self.carrier.publish(&source, &self.topic, *lane, run, Some(token)))
            .collect();
        if !runs.is_empty() {
            failpoint::hit("relay.before");
        }
        let outcomes = join::all(sent, |n_done| {
            failpoint::hit(if n_done == 0 { "relay.sent" } else { "relay.some_acknowledged" });
        })
        .await;
        if !runs.is_empty() {
            failpoint::hit("relay.acknowledged");
        }
        let mut stepped = Stepped::default();
        for ((lane, run), outcomes) in runs.iter().zip(outcomes) {
            let acknowledged = acknowledged(&outcomes, run.len());
            if let Some(cursor) = self.lanes.iter_mut().find(|cursor| cursor.lane == *lane)
                && let Some(last) = acknowledged.checked_sub(1).and_then(|last| run.get(last))
            {
                cursor.pos = last.pos;
            }
            stepped.published += acknowledged;
            let failed = outcomes.into_iter().find_map(Result::err);
            let over = matches!(failed, Some(PublishError::Fenced | PublishError::Forgotten(_)));
            if over || stepped.failed.is_none() {
                stepped.failed = failed.or(stepped.failed);
            }
            if stepped.failed.is_none() && acknowledged < run.len() {
                let words = format!("{acknowledged} outcomes for {} records", run.len());
                stepped.failed = Some(PublishError::NotAcknowledged(words));
            }
        }
        stepped
    }

    fn fenced(&self) -> RelayError {
        RelayError::Fenced { topic: self.topic.clone() }
    }

    fn log_error(&self, source: CallError<FetchRefused>) -> RelayError {
        RelayError::Log { topic: self.topic.clone(), source }
    }

    fn cursor_error(&self, source: StoreError) -> RelayError {
        RelayError::Cursor { topic: self.topic.clone(), source }
    }
}

/// Where a lane ends in `runs`, or where it stands if they have none of it.
fn end_of(runs: &Runs, cursor: &Cursor) -> Pos {
    let run = runs.iter().find(|(lane, _)| *lane == cursor.lane);
    run.and_then(|(_, run)| run.last()).map_or(cursor.pos, |last| last.pos)
}

/// How many of `sent` records are done with: those before the first that was not acknowledged.
fn acknowledged(outcomes: &[Result<Hint, PublishError>], sent: usize) -> usize {
    if mutation::made(Mutation::RelaySkipsFailed) && outcomes.iter().any(Result::is_ok) {
        return sent;
    }
    outcomes.iter().take(sent).take_while(|outcome| outcome.is_ok()).count()
}

fn retention(lane: Lane, floor: Pos) -> CallError<FetchRefused> {
    CallError::Refused(FetchRefused::RetentionExceeded { lane, floor })
}

/// The pause to make now; the next one is twice as long.
fn longer(pause: &mut Duration) -> Duration {
    let now = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
    *pause = (*pause * 2).min(PAUSE_MAX);
    now
}
