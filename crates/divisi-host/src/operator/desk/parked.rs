//! Parked keys: listed, tried again, given up; paused lanes resumed.

use std::collections::BTreeSet;
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_events::consumer::{LaneState, ParkedError};
use divisi_store::inbox::Inbox;
use divisi_store::parked::{Counts, Parking, State, Why};
use divisi_store::{Lane, Read, StoreError};
use tokio::time::{Instant, sleep};

use super::{Applying, Desk};
use crate::operator::answers::{Dropped, Event, Parked, ParkedKey, PausedLane, Redriven, Resumed};
use crate::operator::protocol::{ParkedAt, Refused};

/// How many keys of one consumer are listed.
const KEYS_MAX: usize = 1_000;
/// How many events of a key are shown before it is given up.
const KEPT_MAX: usize = 20;
/// How long an operator waits to hear whether a key that is tried again succeeds.
const REDRIVE_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Desk {
    pub(super) async fn parked(&self) -> Result<Parked, Refused> {
        let mut parked = Parked { now: self.store.backend().clock().now(), keys: Vec::new(), n_more: 0 };
        for applying in self.applying().await? {
            let Counts { waiting, retrying, dead, .. } = applying.parked.counts().await?;
            let keys = applying.parked.list(KEYS_MAX).await?;
            parked.n_more +=
                (waiting + retrying + dead - i64::try_from(keys.len()).unwrap_or(i64::MAX)).max(0);
            parked.keys.extend(keys.into_iter().map(|key| ParkedKey {
                consumer: applying.consumer.to_string(),
                version: applying.version,
                source: key.source.as_str().to_owned(),
                topic: key.topic,
                key: key.key,
                state: key.why.state.as_str().to_owned(),
                reason: key.why.reason,
                attempts: key.why.attempts,
                since: key.since,
                next_at: key.why.next_at,
                waits_for: key.why.waits_for,
                n_events: key.n_events,
            }));
        }
        Ok(parked)
    }

    /// The first events of a key, as they are kept.
    pub(super) async fn kept(&self, at: &ParkedAt) -> Result<Vec<Event>, Refused> {
        let inbox = inbox(at);
        let mut events: Vec<Event> = Vec::new();
        let mut seen = BTreeSet::new();
        for applying in self.holding(at).await? {
            let parking = Parking { inbox: &inbox, key: &at.key };
            let kept =
                applying.store.read(async |read: &mut Read| parking.events(read, KEPT_MAX).await).await?;
            // Two versions of a projection may hold the same key.
            events.extend(kept.iter().map(Event::of).filter(|event| seen.insert(event.id.clone())));
        }
        Ok(events)
    }

    pub(super) async fn redrive(&self, at: &ParkedAt) -> Result<Redriven, Refused> {
        let holding = self.holding(at).await?;
        for applying in &holding {
            // One that has succeeded by itself meanwhile is as good.
            match applying.parked.redrive(&at.source, &at.topic, &at.key).await {
                Ok(()) | Err(ParkedError::NotParked { .. }) => {}
                Err(error) => return Err(Refused::of(&error)),
            }
        }
        if holding.iter().any(|applying| applying.observer.is_none()) {
            return Ok(Redriven::AtStart);
        }
        let until = Instant::now() + REDRIVE_WITHIN;
        loop {
            match standing(&holding, at).await? {
                Redriven::UnderWay if Instant::now() < until => sleep(LOOK_EVERY).await,
                outcome => return Ok(outcome),
            }
        }
    }

    pub(super) async fn drop_parked(&self, at: &ParkedAt) -> Result<Dropped, Refused> {
        let mut n_events = 0;
        for applying in self.holding(at).await? {
            match applying.parked.drop(&at.source, &at.topic, &at.key).await {
                Ok(n) => n_events += n,
                Err(ParkedError::NotParked { .. }) => {}
                Err(error) => return Err(Refused::of(&error)),
            }
        }
        Ok(Dropped { n_events })
    }

    /// Lets the paused lanes of a consumer go on; which those were.
    pub(super) async fn resume(&self, consumer: &str) -> Result<Resumed, Refused> {
        let mut lanes = Vec::new();
        for applying in self.applying().await?.iter().filter(|one| &*one.consumer == consumer) {
            let Some(observer) = &applying.observer else {
                return Err(Refused::new(format!(
                    "`{}` does not run, so no lane of it is paused; it tries again when it starts",
                    applying.title()
                )));
            };
            let paused = paused(applying);
            for lane in &paused {
                observer.resume(&lane.source, &lane.topic, lane.lane);
            }
            lanes.extend(paused);
        }
        Ok(Resumed { lanes })
    }

    /// What holds a key back.
    async fn holding(&self, at: &ParkedAt) -> Result<Vec<Applying>, Refused> {
        let mut holding = Vec::new();
        for applying in self.applying().await? {
            if *applying.consumer == *at.consumer && look(&applying, at).await?.is_some() {
                holding.push(applying);
            }
        }
        if holding.is_empty() {
            let ParkedAt { consumer, source, topic, key } = at;
            return Err(Refused::new(format!(
                "key `{key}` of topic `{topic}` of `{source}` is not parked in `{consumer}`"
            )));
        }
        Ok(holding)
    }
}

/// The lanes that too many failures have paused.
pub(super) fn paused(applying: &Applying) -> Vec<PausedLane> {
    let status = applying.observer.as_ref().map(|observer| observer.status()).unwrap_or_default();
    let mut paused = Vec::new();
    for input in &status.inputs {
        for (lane, status) in (0..).map(Lane).zip(&input.lanes) {
            if let LaneState::Paused { reason } = &status.state {
                paused.push(PausedLane {
                    source: input.source.as_str().to_owned(),
                    topic: input.topic.to_owned(),
                    lane,
                    reason: reason.clone(),
                });
            }
        }
    }
    paused
}

/// How a key stands after it was made due, the worst of those that held it.
async fn standing(holding: &[Applying], at: &ParkedAt) -> Result<Redriven, Refused> {
    let mut outcome = Redriven::Applied;
    for applying in holding {
        match look(applying, at).await? {
            None => {}
            // It was made due with no attempt behind it: one that has some has been tried since.
            Some(why) if why.attempts > 0 || why.state == State::Dead => {
                return Ok(Redriven::FailedAgain {
                    state: why.state.as_str().to_owned(),
                    reason: why.reason,
                });
            }
            Some(_) => outcome = Redriven::UnderWay,
        }
    }
    Ok(outcome)
}

async fn look(applying: &Applying, at: &ParkedAt) -> Result<Option<Why>, StoreError> {
    let inbox = inbox(at);
    applying
        .store
        .read(async |read: &mut Read| Parking { inbox: &inbox, key: &at.key }.look(read).await)
        .await
}

fn inbox(at: &ParkedAt) -> Inbox {
    Inbox {
        consumer: at.consumer.as_str().into(),
        source: ServiceName::from(at.source.as_str()),
        topic: at.topic.as_str().into(),
    }
}
