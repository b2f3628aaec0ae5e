//! Tries parked keys again: a transaction a key, its events in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant as Clock;

use divisi_store::inbox::Inbox;
use divisi_store::parked::{self, Parking, State, Why};
use divisi_store::{Class, Read, StoreError, StoreErrorKind, Timestamp, Tx, TxFailed, failpoint};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use tracing::{info, warn};

use super::Shared;
use super::batch::{Races, after, failed_at, in_savepoint, is_of_handlers};
use super::input::{stopped, unless};
use super::trouble::Trouble;
use crate::handler::Failure;

/// Keys that are tried at once, so that their transactions commit together.
const KEYS_AT_ONCE: usize = 16;
/// How long nobody looks whether something is due at the most: another process may have said so.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Keys of which is known how often in a row they failed in a way that passes. With more, all of them begin again with
/// the shortest pause.
const PASSING_MAX: usize = 4_096;

/// A parked key: source, topic, key.
type Id = (String, String, String);

/// How often in a row keys have failed in a way that passes, which only makes their pauses longer. It is not written
/// down: after a start each of them is tried soon.
#[derive(Default)]
struct Passing(HashMap<Id, u32>);

/// What became of one key.
enum Tried {
    /// It failed in a way that passes, so many times in a row.
    Passes(u32),
    /// Anything else.
    Done,
}

/// What one transaction did with a key.
struct Redriven {
    /// Its events that took effect.
    n_events: u64,
    /// Whether keys that waited for it are due now.
    wake: bool,
    tried: Tried,
}

impl Redriven {
    const NOTHING: Redriven = Redriven { n_events: 0, wake: false, tried: Tried::Done };
}

/// Tries keys that are due until the consumer stops. The transactions under way end first.
pub(super) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut trouble = Trouble::new(shared.options.backoff);
    let mut passing = Passing::default();
    loop {
        let woken = shared.redrive.notified();
        let wake = match round(&shared, &mut passing, &mut stop).await {
            Ok(None) => return,
            Ok(Some(wake)) => {
                if trouble.over(Instant::now()).is_some() {
                    info!(consumer.name = %shared.name, "parked keys of `{}` are tried again", shared.name);
                }
                wake
            }
            Err(error) => {
                if trouble.again(Instant::now()) {
                    warn!(consumer.name = %shared.name, error = %error, "parked keys cannot be tried at the moment");
                }
                trouble.until(Instant::now()).unwrap_or_else(Instant::now)
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            () = woken, if trouble.until(Instant::now()).is_none() => {}
            () = sleep_until(wake) => {}
        }
    }
}

/// Tries what is due; when to look again. `None`: the consumer is to stop.
async fn round(
    shared: &Arc<Shared>,
    passing: &mut Passing,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Instant>, StoreError> {
    let name = &shared.name;
    let look = async |read: &mut Read| {
        let due = parked::due(read, name, KEYS_AT_ONCE).await?;
        Ok::<_, StoreError>((due, parked::next_due(read, name).await?, read.now()))
    };
    let Some(found) = unless(stop, shared.store.read(look)).await else { return Ok(None) };
    let (due, next, now) = found?;
    if due.is_empty() {
        let wait = next.map_or(LOOK_AGAIN, |next| {
            LOOK_AGAIN.min(Duration::from_micros(next.0.saturating_sub(now.0).max(0).cast_unsigned()))
        });
        return Ok(Some(Instant::now() + wait));
    }
    let mut keys = JoinSet::new();
    for id in due {
        let (source, topic, key) = &id;
        let inbox = Inbox {
            consumer: Arc::clone(name),
            source: source.as_str().into(),
            topic: topic.as_str().into(),
        };
        let (shared, key, n_passing) = (Arc::clone(shared), key.clone(), passing.of(&id));
        keys.spawn(async move { (id, redrive(&shared, &inbox, &key, n_passing).await) });
    }
    let mut outcome = Ok(Some(Instant::now()));
    while let Some(joined) = keys.join_next().await {
        match joined {
            Ok((id, Ok(tried))) => passing.tried(id, tried),
            Ok((_, Err(error))) => outcome = Err(error),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    outcome
}

/// Tries one key.
async fn redrive(shared: &Shared, inbox: &Inbox, key: &str, n_passing: u32) -> Result<Tried, StoreError> {
    if failpoint::hit("redrive.before") {
        return Err(failed_at("redrive.before"));
    }
    let parking = Parking { inbox, key };
    let _lanes = shared.turn(inbox, parking.lane()).await;
    let mut races = Races::default();
    let outcome = loop {
        let run = async |tx: &mut Tx| in_order(shared, tx, parking, n_passing).await;
        match shared.store.run(Class::Consumer, run).await {
            Err(TxFailed::Body(error) | TxFailed::DidNotHappen(error)) if races.again(&error).await => {}
            outcome => break outcome,
        }
    };
    match outcome {
        Ok((Redriven { n_events, wake, tried }, _)) => {
            if n_events > 0 {
                shared.board.redriven(inbox.source.as_str(), &inbox.topic, n_events);
            }
            if wake {
                shared.redrive.notify_one();
            }
            Ok(tried)
        }
        // It has no luck on a busy lane, and is tried again; the others are not held up.
        Err(TxFailed::Body(error) | TxFailed::DidNotHappen(error))
            if error.kind == StoreErrorKind::Conflict =>
        {
            Ok(Tried::Passes(n_passing.saturating_add(1)))
        }
        Err(TxFailed::DidNotHappen(error)) if is_of_handlers(&error) => {
            // Something in it cannot be undone alone, such as its time limit: an attempt of the key.
            let reason = error.message;
            let blame = async |tx: &mut Tx| blame(shared, tx, parking, reason).await;
            match shared.store.run(Class::Upkeep, blame).await {
                Ok(_) => Ok(Tried::Done),
                Err(TxFailed::Body(e) | TxFailed::DidNotHappen(e) | TxFailed::MayHaveHappened(e)) => Err(e),
            }
        }
        Err(TxFailed::Body(e) | TxFailed::DidNotHappen(e) | TxFailed::MayHaveHappened(e)) => Err(e),
    }
}

/// Runs the events of a key in order, behind the lock of its lane.
async fn in_order(
    shared: &Shared,
    tx: &mut Tx,
    parking: Parking<'_>,
    n_passing: u32,
) -> Result<Redriven, StoreError> {
    let Some(mut why) = locked(tx, parking).await? else { return Ok(Redriven::NOTHING) };
    let events = parking.events(tx, shared.options.batch_events_max.max(1)).await?;
    let (began, now) = (Clock::now(), tx.now());
    let (mut last, mut n_events, mut failure) = (None, 0, None);
    for record in &events {
        if n_events > 0 && shared.span_max(tx).is_some_and(|max| began.elapsed() >= max) {
            break;
        }
        match in_savepoint(shared, tx, record).await? {
            Ok(()) => (last, n_events) = (Some(record), n_events + 1),
            Err(failed) => {
                failure = Some(failed);
                break;
            }
        }
    }
    let (mut wake, mut tried) = (false, Tried::Done);
    if let Some(last) = last {
        parking.remove_up_to(tx, last.epoch, last.pos).await?;
        wake = parked::mark(tx, &shared.name, &parking.inbox.topic, parking.key).await? > 0;
        why.attempts = 0;
    }
    match failure {
        Some(failure) => {
            let n_passing = if last.is_some() { 1 } else { n_passing.saturating_add(1) };
            if matches!(failure, Failure::Transient(_)) {
                tried = Tried::Passes(n_passing);
            }
            let why = again(shared, why, failure, n_passing, now);
            parking.park(tx, &why).await?;
        }
        None if parking.events(tx, 1).await?.is_empty() => {
            parking.remove_key(tx).await?;
        }
        // More of them than fit a turn: the rest is due now.
        None => parking.park(tx, &Why { state: State::Retrying, next_at: Some(now), ..why }).await?,
    }
    Ok(Redriven { n_events, wake, tried })
}

/// The whole transaction failed: one attempt more.
async fn blame(shared: &Shared, tx: &mut Tx, parking: Parking<'_>, reason: String) -> Result<(), StoreError> {
    let Some(why) = locked(tx, parking).await? else { return Ok(()) };
    let why = again(shared, why, Failure::Unclassified(reason), 0, tx.now());
    parking.park(tx, &why).await
}

/// Locks the key's lane; how the key stands, if it is still due.
async fn locked(tx: &mut Tx, parking: Parking<'_>) -> Result<Option<Why>, StoreError> {
    parking.inbox.hold(tx, parking.lane()).await?;
    let now = tx.now();
    let why = parking.look(tx).await?;
    Ok(why.filter(|why| why.state != State::Dead && why.next_at.is_none_or(|next| next <= now)))
}

/// How a key stands after another failure; `n_passing` of them in a row passed.
fn again(shared: &Shared, why: Why, failure: Failure, n_passing: u32, now: Timestamp) -> Why {
    let options = &shared.options;
    // How often it was looked for in vain says nothing about what the handler does once it is there.
    let waited = why.waits_for.is_some() && !matches!(failure, Failure::NotYet { .. });
    let before = if waited { 0 } else { why.attempts };
    let attempts = before + 1;
    let later = Some(after(now, options.redrive.after(attempts)));
    match failure {
        Failure::NotYet { topic, key } => Why {
            state: State::Waiting,
            reason: format!("waits for `{key}` of topic `{topic}`"),
            attempts,
            next_at: later,
            waits_for: Some((topic.to_owned(), key)),
        },
        // It says nothing about the event, so it is no attempt.
        Failure::Transient(reason) => Why {
            state: State::Retrying,
            reason,
            attempts: before,
            next_at: Some(after(now, options.redrive.after(n_passing))),
            waits_for: None,
        },
        Failure::Unclassified(reason) if attempts < options.attempts_max => {
            Why { state: State::Retrying, reason, attempts, next_at: later, waits_for: None }
        }
        Failure::Permanent(reason) | Failure::Unclassified(reason) => {
            warn!(consumer.name = %shared.name, "a parked key waits for an operator now: {reason}");
            Why { state: State::Dead, reason, attempts, next_at: None, waits_for: None }
        }
    }
}

impl Passing {
    fn of(&self, id: &Id) -> u32 {
        self.0.get(id).copied().unwrap_or(0)
    }

    fn tried(&mut self, id: Id, tried: Tried) {
        match tried {
            Tried::Done => {
                self.0.remove(&id);
            }
            Tried::Passes(n_times) => {
                if self.0.len() >= PASSING_MAX && !self.0.contains_key(&id) {
                    self.0.clear();
                }
                self.0.insert(id, n_times);
            }
        }
    }
}
