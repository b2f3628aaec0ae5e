//! A carrier in memory that can do everything a broker may do wrong.
//!
//! Nothing of it is trusted, so nothing of it need be right: it loses, repeats, reorders, forgets, drips, dies. What
//! it does is drawn from a seed, so that a history can be played again.

mod arrivals;
mod faults;

use std::collections::BTreeMap;
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_contract::ServiceName;
use divisi_events::carrier::{Arrivals, Carrier, CarrierError, Head, Hint, PublishError};
use divisi_store::{Epochs, Lane, Pos, Record};
use fastrand::Rng;
use tokio::time::Instant;

pub use faults::Faults;

use crate::watched::Watched;

/// A lane of a topic of a source.
type LaneName = (ServiceName, Arc<str>, Lane);

/// A broker in memory. Cheap to clone; all clones are one broker.
#[derive(Clone)]
pub struct MemoryCarrier {
    state: Arc<Watched<State>>,
}

struct State {
    random: Rng,
    faults: Faults,
    born: Instant,
    dead: bool,
    /// The stream's id: hints of another one are void.
    stream: u64,
    lanes: BTreeMap<LaneName, Vec<Arc<Record>>>,
    fences: BTreeMap<LaneName, u64>,
    beacons: BTreeMap<(ServiceName, Arc<str>), Beacon>,
    counted: Counted,
}

#[derive(Clone)]
struct Beacon {
    number: u64,
    epochs: Epochs,
    heads: Vec<(Lane, Pos)>,
}

/// What a carrier has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Records stored, copies among them.
    pub stored: u64,
    /// Records that were not stored, or that were forgotten though they had been acknowledged.
    pub lost: u64,
    /// Records stored whose acknowledgement was lost.
    pub unacknowledged: u64,
    /// Records that readers got.
    pub delivered: u64,
    /// Publishes that were refused by a fence.
    pub fenced: u64,
}

impl MemoryCarrier {
    /// A carrier with these faults, drawn from `seed`.
    pub fn new(faults: Faults, seed: u64) -> MemoryCarrier {
        let state = State {
            random: Rng::with_seed(seed),
            faults,
            born: Instant::now(),
            dead: false,
            stream: 1,
            lanes: BTreeMap::new(),
            fences: BTreeMap::new(),
            beacons: BTreeMap::new(),
            counted: Counted::default(),
        };
        MemoryCarrier { state: Arc::new(Watched::new(state)) }
    }

    /// Other faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.change(|state| state.faults = faults);
    }

    /// Nobody reaches it any more, and nothing comes out of it.
    pub fn die(&self) {
        self.state.change(|state| state.dead = true);
    }

    /// It is reachable again, with what it held.
    pub fn revive(&self) {
        self.state.change(|state| state.dead = false);
    }

    /// Forgets the last `most` records of each lane, acknowledged or not.
    pub fn forget_tails(&self, most: usize) {
        self.state.change(|state| {
            for lane in state.lanes.values_mut() {
                let kept = lane.len().saturating_sub(most);
                state.counted.lost += (lane.len() - kept) as u64;
                lane.truncate(kept);
            }
        });
    }

    /// Forgets everything: it was deleted and made anew, under another id.
    pub fn recreate(&self) {
        self.state.change(|state| {
            state.stream += 1;
            state.lanes.clear();
            state.fences.clear();
        });
    }

    /// The hint that reads a lane from its start.
    pub fn start(&self) -> Hint {
        Hint(format!("memory:{}:-1", self.look(|state| state.stream)).into())
    }

    /// What it has done so far.
    pub fn counted(&self) -> Counted {
        self.look(|state| state.counted)
    }

    /// Every record that it holds of a lane, in its order.
    pub fn holds(&self, source: &ServiceName, topic: &str, lane: Lane) -> Vec<Arc<Record>> {
        let name = (source.clone(), Arc::from(topic), lane);
        self.look(|state| state.lanes.get(&name).cloned().unwrap_or_default())
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.state.look(look).1
    }
}

impl State {
    fn reachable(&self) -> bool {
        !self.dead && !self.faults.down_at(self.born.elapsed())
    }

    fn chance(&mut self, chance: f64) -> bool {
        // No draw without a chance: a carrier without faults is the same for every seed.
        chance > 0.0 && self.random.f64() < chance
    }

    fn hint(&self, offset: usize) -> Hint {
        Hint(format!("memory:{}:{offset}", self.stream).into())
    }

    /// The offset behind a hint, if it is of this stream.
    fn offset_behind(&self, hint: &Hint) -> Option<usize> {
        let offset =
            hint.0.strip_prefix("memory:")?.strip_prefix(&self.stream.to_string())?.strip_prefix(':')?;
        usize::try_from(offset.parse::<i64>().ok()?.checked_add(1)?).ok()
    }

    fn publish(&mut self, name: &LaneName, record: &Arc<Record>) -> Result<Hint, PublishError> {
        let not_acknowledged = |why: &str| Err(PublishError::NotAcknowledged(why.to_owned()));
        if self.chance(self.faults.lost) {
            self.counted.lost += 1;
            return not_acknowledged("the record was lost on the way");
        }
        let copies = if self.chance(self.faults.repeated) { 2 } else { 1 };
        for _ in 0..copies {
            let reordered = self.chance(self.faults.reordered);
            let lane = self.lanes.entry(name.clone()).or_default();
            let at = lane.len().saturating_sub(usize::from(reordered));
            lane.insert(at, Arc::clone(record));
            self.counted.stored += 1;
        }
        let hint = self.hint(self.lanes.get(name).map_or(0, |lane| lane.len().saturating_sub(1)));
        if self.chance(self.faults.forgotten) {
            let n = self.random.usize(1..=self.faults.forgotten_most.max(1));
            let lane = self.lanes.entry(name.clone()).or_default();
            let kept = lane.len().saturating_sub(n);
            self.counted.lost += (lane.len() - kept) as u64;
            lane.truncate(kept);
        }
        if self.chance(self.faults.unacknowledged) {
            self.counted.unacknowledged += 1;
            return not_acknowledged("the acknowledgement was lost on the way back");
        }
        Ok(hint)
    }
}

impl Carrier for MemoryCarrier {
    fn name(&self) -> &str {
        "memory"
    }

    fn publish<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
        records: &'a [Arc<Record>],
        fence: Option<u64>,
    ) -> BoxFuture<'a, Vec<Result<Hint, PublishError>>> {
        Box::pin(async move {
            let name = (source.clone(), Arc::from(topic), lane);
            self.state.change(|state| {
                if !state.reachable() {
                    let down = || Err(PublishError::Unavailable("it is down".to_owned()));
                    return records.iter().map(|_| down()).collect();
                }
                if let Some(fence) = fence.filter(|_| state.faults.fences) {
                    let known = state.fences.entry(name.clone()).or_default();
                    if fence < *known {
                        state.counted.fenced += 1;
                        return records.iter().map(|_| Err(PublishError::Fenced)).collect();
                    }
                    *known = fence;
                }
                // Pipelined: each record is sent, whatever became of the one before it.
                records.iter().map(|record| state.publish(&name, record)).collect()
            })
        })
    }

    fn beacon<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        epochs: &'a Epochs,
        heads: &'a [(Lane, Pos)],
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            self.state.change(|state| {
                if !state.reachable() {
                    return Err(PublishError::Unavailable("it is down".to_owned()));
                }
                if state.chance(state.faults.lost) {
                    return Err(PublishError::NotAcknowledged("the beacon was lost on the way".to_owned()));
                }
                let name = (source.clone(), Arc::from(topic));
                let number = state.beacons.get(&name).map_or(1, |last| last.number + 1);
                state.beacons.insert(name, Beacon { number, epochs: epochs.clone(), heads: heads.to_vec() });
                Ok(())
            })
        })
    }

    fn head<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
    ) -> BoxFuture<'a, Result<Head, CarrierError>> {
        Box::pin(async move {
            let name = (source.clone(), Arc::from(topic), lane);
            self.look(|state| {
                if !state.reachable() {
                    return Err(CarrierError::Unavailable("it is down".to_owned()));
                }
                if state.faults.headless {
                    return Ok(Head::Unknown);
                }
                let last = state.lanes.get(&name).and_then(|lane| lane.last());
                Ok(last.map_or(Head::Empty, |last| Head::At(last.epoch, last.pos)))
            })
        })
    }

    fn read<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        from: Vec<(Lane, Option<Hint>)>,
    ) -> BoxFuture<'a, Result<Box<dyn Arrivals>, CarrierError>> {
        Box::pin(async move {
            let reading = arrivals::MemoryArrivals::begin(self, source, topic, from)?;
            Ok(Box::new(reading) as Box<dyn Arrivals>)
        })
    }
}
