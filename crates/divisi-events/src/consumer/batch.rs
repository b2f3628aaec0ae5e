//! The transaction of a consumer: effects, watermark and new events of a run of one lane, together or not at all.
//!
//! A batch runs without savepoints at first: most batches have no failure, and a savepoint a handler costs two
//! statements. At the first failure everything is undone and the batch runs again, each handler in a savepoint of its
//! own, so that the failure undoes what it did and nothing else. A lane whose last batch failed begins that way.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use divisi_contract::event::{LANES, lane_of};
use divisi_store::failpoint;
use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::mutation::{self, Mutation};
use divisi_store::parked::{self, Around, Parking, State, Why};
use divisi_store::{Class, Epoch, Lane, Pos, Record, StoreError, StoreErrorKind, Timestamp, Tx, TxFailed};

use tokio::time::sleep;

use super::Shared;
use super::attempt::attempt;
use super::breaker::{Breaker, Permits};
use super::queue::Item;
use crate::handler::Failure;

/// How often in a row a transaction begins again at once that was undone by a race with another one.
const RACES_MAX: u32 = 8;
/// The longest pause before the first time; each further one is twice as long. Without one the same two would meet again.
const RACE_PAUSE: Duration = Duration::from_millis(1);

/// How often in a row a transaction was undone by a race with another one.
#[derive(Debug, Default)]
pub(super) struct Races(u32);

/// A contiguous run of one lane.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lane: Lane,
    /// The epoch that the consumer had entered when it was read.
    pub(super) epoch: Epoch,
    /// The position before the first.
    pub(super) base: Pos,
    pub(super) items: Vec<Item>,
    /// Whether it begins with savepoints.
    pub(super) careful: bool,
    /// Handlers that may be called.
    pub(super) calls_max: usize,
    /// How often the first handled event has failed in a way that is not known to pass.
    pub(super) attempts: u32,
    /// Why the first handled event is parked without another attempt.
    pub(super) condemned: Option<String>,
    /// Whether the lane is paused: nothing is parked, the first event shows whether it goes on.
    pub(super) trial: bool,
}

/// How a batch ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Committed up to `to`; the rest of it comes next.
    Applied {
        to: Pos,
        /// Events whose handler was called, and how many of them were parked instead.
        handled: u64,
        parked: u64,
        /// Records that another consumer of this name had applied.
        skipped: i64,
        /// Whether a handler failed.
        failed: bool,
        halted: Option<Halt>,
    },
    /// Nothing was done, since the first event cannot be applied now.
    Halted(Halt),
    /// Nothing was done: the watermark is not where the batch begins.
    Moved(Watermark),
    /// Nothing was done.
    Failed(StoreError),
    /// It is not known whether it was done.
    Unknown(StoreError),
}

/// Why a lane does not go on with its next event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// The same will work later.
    Transient(String),
    /// It is not known whether it will; this counts as an attempt.
    Attempt(String),
    /// It failed for good, and so much did lately that it is not parked.
    Pause(String),
}

/// Why the closure of the transaction asked for everything to be undone.
enum Left {
    Store(StoreError),
    Moved(Watermark),
    /// A handler failed, and what it did cannot be told from what the others did: again, with savepoints.
    Failed,
    Halted(Halt),
}

struct Done {
    to: Pos,
    handled: u64,
    parked: u64,
    skipped: i64,
    failed: bool,
    wake: bool,
    halted: Option<Halt>,
}

/// Applies a batch, as much of it as fits one turn.
pub(super) async fn apply(shared: &Shared, inbox: &Inbox, breaker: &Breaker, batch: &Batch) -> Ended {
    if failpoint::hit("consumer.before") {
        return Ended::Failed(failed_at("consumer.before"));
    }
    let _lanes = shared.turn(inbox, batch.lane).await;
    let mut careful = batch.careful;
    let mut races = Races::default();
    loop {
        let mut turn = Turn { shared, inbox, batch, careful, sent: false, permits: breaker.permits() };
        let outcome = shared.store.run(Class::Consumer, async |tx: &mut Tx| turn.run(tx).await).await;
        let sent = turn.sent;
        match outcome {
            Ok(_) => turn.permits.keep(),
            // Others' while this one waits.
            Err(_) => drop(turn.permits),
        }
        return match outcome {
            Ok((done, _)) => {
                breaker.handled(done.handled, tokio::time::Instant::now());
                if done.wake {
                    shared.redrive.notify_one();
                }
                if failpoint::hit("consumer.after") {
                    return Ended::Unknown(failed_at("consumer.after"));
                }
                let Done { to, handled, parked, skipped, failed, halted, .. } = done;
                Ended::Applied { to, handled, parked, skipped, failed, halted }
            }
            Err(TxFailed::Body(Left::Failed)) => {
                careful = true;
                continue;
            }
            Err(TxFailed::Body(Left::Store(error)) | TxFailed::DidNotHappen(error))
                if races.again(&error).await =>
            {
                continue;
            }
            // It may be of a statement that a handler has sent and nobody has waited for: with care it shows whose it is.
            Err(TxFailed::Body(Left::Store(_)) | TxFailed::DidNotHappen(_)) if sent && !careful => {
                careful = true;
                continue;
            }
            Err(TxFailed::Body(Left::Moved(at))) => Ended::Moved(at),
            Err(TxFailed::Body(Left::Halted(halt))) => Ended::Halted(halt),
            Err(TxFailed::Body(Left::Store(error)) | TxFailed::DidNotHappen(error)) => Ended::Failed(error),
            Err(TxFailed::MayHaveHappened(error)) => Ended::Unknown(error),
        };
    }
}

/// One transaction of a batch.
struct Turn<'a> {
    shared: &'a Shared,
    inbox: &'a Inbox,
    batch: &'a Batch,
    careful: bool,
    /// Whether a handler has sent something that was not waited for.
    sent: bool,
    permits: Permits<'a>,
}

impl Turn<'_> {
    async fn run(&mut self, tx: &mut Tx) -> Result<Done, Left> {
        let Batch { lane, epoch, base, items, .. } = self.batch;
        let (mut at, mut around) = Around::lock(tx, self.inbox, *lane).await?;
        if mutation::made(Mutation::NoCompareAndSet) {
            at = Watermark { epoch: *epoch, pos: *base };
        }
        let last = items.last().map_or(*base, |item| item.record.pos);
        if at.epoch != *epoch || at.pos < *base || at.pos >= last {
            return Err(Left::Moved(at));
        }
        let began = Instant::now();
        let mut done = Done {
            to: at.pos,
            handled: 0,
            parked: 0,
            skipped: at.pos.0 - base.0,
            failed: false,
            wake: false,
            halted: None,
        };
        let mut hint = None;
        for item in items.iter().filter(|item| item.record.pos > at.pos) {
            let over = self.shared.span_max(tx).is_some_and(|max| began.elapsed() >= max);
            if done.handled > 0 && (over || done.handled >= self.batch.calls_max as u64) {
                break;
            }
            if self.shared.handlers.handles(&item.record) {
                done.halted = self.one(tx, &mut around, &item.record, &mut done).await?;
                if done.halted.is_some() {
                    break;
                }
            }
            done.to = item.record.pos;
            hint = item.hint.as_ref().or(hint);
        }
        if done.to == at.pos {
            return Err(done.halted.map_or(Left::Moved(at), Left::Halted));
        }
        if done.failed && failpoint::hit("parked.before_watermark") {
            return Err(Left::Store(failed_at("parked.before_watermark")));
        }
        let to = Watermark { epoch: *epoch, pos: done.to };
        self.inbox.advance(tx, *lane, to, hint.map(|hint| &*hint.0)).await?;
        if failpoint::hit("consumer.handled") {
            return Err(Left::Store(failed_at("consumer.handled")));
        }
        Ok(done)
    }

    /// Applies or parks one event that has a handler.
    async fn one(
        &mut self,
        tx: &mut Tx,
        around: &mut Around,
        record: &Record,
        done: &mut Done,
    ) -> Result<Option<Halt>, Left> {
        let readable = lane_of(&record.key, LANES) == record.lane.0;
        let key = if readable {
            Cow::Borrowed(&*record.key)
        } else {
            Cow::Owned(parked::unreadable_key(record.lane))
        };
        let parking = Parking { inbox: self.inbox, key: &key };
        if around.is_parked(tx, parking).await? {
            parking.append(tx, record).await?;
            return Ok(None);
        }
        let is_first = done.handled == 0;
        done.handled += 1;
        let outcome = match &self.batch.condemned {
            Some(reason) if is_first => Err(Failure::Permanent(reason.clone())),
            _ if !readable => Err(Failure::Permanent(format!(
                "its key cannot be read, or does not belong to lane {}",
                record.lane
            ))),
            _ => self.call(tx, record).await?,
        };
        let failure = match outcome {
            Ok(()) => {
                if around.is_wanted(&key) {
                    let n = parked::mark(tx, &self.shared.name, &record.topic, &key).await?;
                    done.wake |= n > 0;
                }
                return Ok(None);
            }
            Err(failure) => failure,
        };
        done.failed = true;
        let attempts = if is_first { self.batch.attempts } else { 0 };
        let why = match self.judge(failure, attempts, tx.now()) {
            Ok(why) => why,
            Err(halt) => {
                done.handled -= 1;
                return Ok(Some(halt));
            }
        };
        done.parked += 1;
        // One that waits for its cause is nobody's trouble: across topics there is no order.
        if why.state == State::Waiting {
            tracing::debug!(
                consumer.name = %self.shared.name,
                event.position = %record.position(),
                event.key = %key,
                "`{}` keeps a key of `{}` aside: it {}",
                self.shared.name,
                record.topic,
                why.reason
            );
        } else {
            tracing::warn!(
                consumer.name = %self.shared.name,
                event.name = %record.kind,
                event.position = %record.position(),
                event.key = %key,
                parked.state = why.state.as_str(),
                "`{}` parks a key of `{}`: {}",
                self.shared.name,
                record.topic,
                why.reason
            );
        }
        parking.park(tx, &why).await?;
        parking.append(tx, record).await?;
        let waits_for = why.waits_for.as_ref().filter(|(topic, _)| *topic == *record.topic);
        around.parked(&key, waits_for.map(|(_, key)| key.as_str()));
        done.wake = true;
        Ok(None)
    }

    /// Calls the handler; in a savepoint, when the batch runs with care.
    async fn call(&mut self, tx: &mut Tx, record: &Record) -> Result<Result<(), Failure>, Left> {
        if !self.careful {
            let outcome = attempt(self.shared, tx, record).await;
            // Where nothing waits for a server, it was.
            self.sent = self.shared.suspends && tx.has_sent();
            return match outcome {
                Ok(()) => Ok(Ok(())),
                Err(_) => Err(tx.lost_race().cloned().map_or(Left::Failed, Left::Store)),
            };
        }
        Ok(in_savepoint(self.shared, tx, record).await?)
    }

    /// What a failure means: the key is parked, or the lane halts.
    fn judge(&mut self, failure: Failure, attempts: u32, now: Timestamp) -> Result<Why, Halt> {
        let options = &self.shared.options;
        let reason = match failure {
            Failure::NotYet { topic, key } => {
                return Ok(Why {
                    state: State::Waiting,
                    reason: format!("waits for `{key}` of topic `{topic}`"),
                    attempts: 0,
                    next_at: Some(after(now, options.redrive.after(1))),
                    waits_for: Some((topic.to_owned(), key)),
                });
            }
            Failure::Transient(reason) => return Err(Halt::Transient(reason)),
            Failure::Unclassified(reason) if self.batch.trial => return Err(Halt::Pause(reason)),
            Failure::Unclassified(reason) if attempts + 1 < options.attempts_max => {
                return Err(Halt::Attempt(reason));
            }
            Failure::Permanent(reason) | Failure::Unclassified(reason) => reason,
        };
        if self.batch.trial || !self.permits.take() {
            return Err(Halt::Pause(reason));
        }
        Ok(Why { state: State::Dead, reason, attempts: attempts + 1, next_at: None, waits_for: None })
    }
}

impl Races {
    /// Whether it was one, and is to begin again now: not too often.
    pub(super) async fn again(&mut self, error: &StoreError) -> bool {
        if error.kind != StoreErrorKind::Conflict || self.0 >= RACES_MAX {
            return false;
        }
        sleep(RACE_PAUSE.mul_f64(fastrand::f64() * f64::from(1_u32 << self.0))).await;
        self.0 += 1;
        true
    }
}

/// Whether what undid a transaction may be a handler's doing that shows only at its end: a deferred key, a limit. Anything else is the
/// store's trouble.
pub(super) fn is_of_handlers(error: &StoreError) -> bool {
    matches!(
        error.kind,
        StoreErrorKind::Constraint
            | StoreErrorKind::TooLong
            | StoreErrorKind::Waited
            | StoreErrorKind::Event
            | StoreErrorKind::Nested
    )
}

/// Calls a handler in a savepoint: its failure undoes what it did, rows and events, and nothing else; but a race that it has lost,
/// all.
pub(super) async fn in_savepoint(
    shared: &Shared,
    tx: &mut Tx,
    record: &Record,
) -> Result<Result<(), Failure>, StoreError> {
    let mark = tx.mark();
    tx.savepoint().await?;
    let outcome = attempt(shared, tx, record).await;
    if outcome.is_ok() {
        match tx.end_savepoint(true).await {
            Ok(()) => return Ok(Ok(())),
            // What a handler has sent, or an error of its database that it swallowed: PostgreSQL says so only here.
            Err(error) => {
                if tx.lost_race().is_some() || tx.end_savepoint(false).await.is_err() {
                    return Err(error);
                }
                tx.truncate(mark);
                return Ok(Err(Failure::from(error)));
            }
        }
    }
    if let Some(race) = tx.lost_race() {
        return Err(race.clone());
    }
    tx.truncate(mark);
    tx.end_savepoint(false).await?;
    Ok(outcome)
}

/// So much later.
pub(super) fn after(now: Timestamp, span: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

/// What a failpoint stands for.
pub(super) fn failed_at(point: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Busy, format!("failpoint {point}"))
}

impl From<StoreError> for Left {
    fn from(error: StoreError) -> Left {
        Left::Store(error)
    }
}
