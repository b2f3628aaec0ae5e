//! Reading a carrier in memory.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::ServiceName;
use divisi_events::carrier::{Arrivals, Carried, CarrierError, Hint};
use divisi_store::Lane;
use tokio::time::{Instant, sleep, sleep_until};

use super::{MemoryCarrier, State};

pub(super) struct MemoryArrivals {
    carrier: MemoryCarrier,
    source: ServiceName,
    topic: Arc<str>,
    stream: u64,
    /// The offset that comes next, lane by lane.
    lanes: Vec<(Lane, usize)>,
    /// The last beacon that was delivered.
    beacon: u64,
    not_before: Option<Instant>,
}

/// What a look at the carrier brings.
enum Look {
    Arrival(Box<Carried>),
    Over(CarrierError),
    Nothing(Option<Duration>),
}

impl MemoryArrivals {
    pub(super) fn begin(
        carrier: &MemoryCarrier,
        source: &ServiceName,
        topic: &str,
        from: Vec<(Lane, Option<Hint>)>,
    ) -> Result<MemoryArrivals, CarrierError> {
        carrier.look(|state| MemoryArrivals::begin_at(carrier, state, source, Arc::from(topic), from))
    }

    fn begin_at(
        carrier: &MemoryCarrier,
        state: &State,
        source: &ServiceName,
        topic: Arc<str>,
        from: Vec<(Lane, Option<Hint>)>,
    ) -> Result<MemoryArrivals, CarrierError> {
        if !state.reachable() {
            return Err(CarrierError::Unavailable("it is down".to_owned()));
        }
        let start = |(lane, hint): (Lane, Option<Hint>)| {
            let end = state.lanes.get(&(source.clone(), Arc::clone(&topic), lane)).map_or(0, Vec::len);
            let behind = hint.as_ref().and_then(|hint| state.offset_behind(hint));
            (lane, behind.map_or(end, |offset| offset.min(end)))
        };
        Ok(MemoryArrivals {
            carrier: carrier.clone(),
            source: source.clone(),
            stream: state.stream,
            lanes: from.into_iter().map(start).collect(),
            beacon: state.beacons.get(&(source.clone(), Arc::clone(&topic))).map_or(0, |last| last.number),
            topic,
            not_before: None,
        })
    }

    fn look(&mut self) -> Look {
        let carrier = self.carrier.clone();
        carrier.state.quietly(|state| self.look_at(state))
    }

    fn look_at(&mut self, state: &mut State) -> Look {
        if state.dead {
            return Look::Nothing(None);
        }
        if !state.reachable() || state.stream != self.stream {
            return Look::Over(CarrierError::Unavailable("the subscription was cut".to_owned()));
        }
        let name = (self.source.clone(), Arc::clone(&self.topic));
        if let Some(beacon) = state.beacons.get(&name).filter(|beacon| beacon.number > self.beacon) {
            self.beacon = beacon.number;
            let (epochs, heads) = (beacon.epochs.clone(), beacon.heads.clone());
            return Look::Arrival(Box::new(Carried::Beacon { epochs, heads }));
        }
        match next(state, &mut self.lanes, name) {
            Some((record, hint)) => Look::Arrival(Box::new(Carried::Record(record, hint))),
            None => Look::Nothing(state.faults.flaps_after(state.born.elapsed())),
        }
    }
}

/// The next record of some lane that has one.
fn next(
    state: &mut State,
    lanes: &mut [(Lane, usize)],
    (source, topic): (ServiceName, Arc<str>),
) -> Option<(Arc<divisi_store::Record>, Hint)> {
    let mut ready = Vec::new();
    for (n, (lane, offset)) in lanes.iter_mut().enumerate() {
        let held = state.lanes.get(&(source.clone(), Arc::clone(&topic), *lane)).map_or(0, Vec::len);
        // A carrier that forgot its tail uses the offsets again.
        *offset = held.min(*offset);
        if *offset < held {
            ready.push(n);
        }
    }
    let chosen = match ready.len() {
        0 => return None,
        1 => ready[0],
        n => ready[state.random.usize(0..n)],
    };
    if state.chance(state.faults.replayed) {
        let (_, offset) = &mut lanes[chosen];
        *offset = state.random.usize(0..=*offset);
    }
    let (lane, offset) = &mut lanes[chosen];
    let record = state.lanes.get(&(source, topic, *lane))?.get(*offset)?.clone();
    let hint = state.hint(*offset);
    *offset += 1;
    state.counted.delivered += 1;
    Some((record, hint))
}

impl Arrivals for MemoryArrivals {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Carried, CarrierError>>> {
        Box::pin(async move {
            loop {
                if let Some(at) = self.not_before {
                    sleep_until(at).await;
                    self.not_before = None;
                }
                let (version, drip) = self.carrier.state.look(|state| state.faults.drip);
                match self.look() {
                    Look::Arrival(carried) => {
                        self.not_before = drip.map(|drip| Instant::now() + drip);
                        return Some(Ok(*carried));
                    }
                    Look::Over(error) => return Some(Err(error)),
                    Look::Nothing(until) => {
                        let flap = async {
                            match until {
                                Some(span) => sleep(span).await,
                                None => pending().await,
                            }
                        };
                        tokio::select! {
                            biased;
                            () = self.carrier.state.newer_than(version) => {}
                            () = flap => {}
                        }
                    }
                }
            }
        })
    }
}
