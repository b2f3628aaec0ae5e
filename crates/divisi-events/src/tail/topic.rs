//! The newest records of one topic, and who waits for more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use divisi_contract::event::LANES;
use divisi_store::outbox::{Page, RECORDS_IN_TURN};
use divisi_store::{Epoch, Epochs, Lane, Pos, Record};
use tokio::time::Instant;

use super::TailLimits;
use super::run::{Run, Stand};
use super::waiting::{Fetches, TooManyWaiting, Waiting, bit};

/// The newest records of one topic.
#[derive(Debug)]
pub struct TopicTail {
    state: Mutex<State>,
    limits: TailLimits,
}

/// What the tail says of some lanes.
#[derive(Debug, Clone)]
pub enum Look {
    /// Everything wanted is in memory, or there is nothing new: records in the order of a page, the ends of the wanted
    /// lanes and their list of epochs. It knows no floors: what it has is there. With a time, what comes next in some lane
    /// should be told by then; after it, the database is to be asked.
    Covered(Page, Option<Instant>),
    /// What comes next in some lane is in the database.
    Behind,
    /// It has not been told enough yet: [`TopicTail::learn`] from a page of the whole topic.
    Unknown,
}

/// Which life of the tail a page was asked for in: each `forget` begins another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life(u64);

#[derive(Debug)]
struct State {
    life: Life,
    closed: bool,
    lanes: Vec<Run>,
    /// The lane of each record that is kept, in the order in which they came: the oldest leaves first.
    arrived: VecDeque<Lane>,
    bytes: usize,
    epochs: Option<Epochs>,
    fetches: Fetches,
}

impl TopicTail {
    /// An empty tail.
    pub(super) fn new(limits: TailLimits) -> TopicTail {
        let state = State {
            life: Life(0),
            closed: false,
            lanes: (0..LANES).map(|_| Run::default()).collect(),
            arrived: VecDeque::new(),
            bytes: 0,
            epochs: None,
            fetches: Fetches::default(),
        };
        TopicTail { state: Mutex::new(state), limits }
    }

    /// What it has after these positions, as a page of the database would bring it.
    ///
    /// Lanes are served in order, [`RECORDS_IN_TURN`] each, round and round, until there are `max_records` or
    /// `max_bytes`, but always one record.
    pub fn look(&self, wanted: &[(Lane, Pos)], max_records: usize, max_bytes: usize) -> Look {
        let state = self.lock();
        let Some(epochs) = &state.epochs else { return Look::Unknown };
        let mut page = Page { epochs: of_lanes(epochs, wanted), ..Page::default() };
        let (now, mut open, mut soon) = (Instant::now(), Vec::new(), None);
        for &(lane, after) in wanted {
            let Some(run) = state.lanes.get(usize::from(lane.0)) else { return Look::Unknown };
            let Some(head) = run.head() else { return Look::Unknown };
            page.heads.push((lane, head));
            match run.stand(after, now, self.limits.hole) {
                Stand::Covered => open.push((run, after)),
                Stand::Behind if max_records > 0 => return Look::Behind,
                Stand::Soon(by) => soon = Some(soon.map_or(by, |soon| by.min(soon))),
                Stand::Behind | Stand::AtEnd => {}
            }
        }
        fill(&mut page.records, open, max_records, max_bytes);
        Look::Covered(page, soon)
    }

    /// Registers for the wake-up of these lanes. Register, **then** look again, then wait: what is committed between
    /// looking and registering would be slept over otherwise.
    pub fn register(self: &Arc<Self>, wanted: &[(Lane, Pos)]) -> Result<Waiting, TooManyWaiting> {
        let lanes = wanted.iter().fold(0, |set, (lane, _)| set | bit(*lane));
        let id = self.lock().fetches.register(lanes)?;
        Ok(Waiting::new(Arc::clone(self), id))
    }

    /// The life of today; to be asked before a page's snapshot begins.
    pub fn life(&self) -> Life {
        self.lock().life
    }

    /// Learns from a page of all lanes, asked for in `life`, where they end, and the list of epochs. A page from an
    /// earlier life teaches nothing.
    ///
    /// The page may know commits that the tail is about to be told of, and the tail commits that are later than the
    /// page: the higher end is the true one, since within one life ends only grow.
    pub fn learn(&self, life: Life, page: &Page) {
        let mut state = self.lock();
        if state.life != life {
            return;
        }
        let now = Instant::now();
        for &(lane, head) in &page.heads {
            if let Some(run) = state.lanes.get_mut(usize::from(lane.0)) {
                run.raise_head(head, now);
            }
        }
        state.epochs = Some(page.epochs.clone());
    }

    /// The source's epoch of today, if it is known.
    pub fn epoch(&self) -> Option<Epoch> {
        self.lock().epochs.as_ref().map(Epochs::current)
    }

    /// How many fetches wait.
    pub fn n_waiting(&self) -> usize {
        self.lock().fetches.len()
    }

    /// How many records, and bytes of records, are kept.
    pub fn kept(&self) -> (usize, usize) {
        let state = self.lock();
        (state.arrived.len(), state.bytes)
    }

    /// Whether the log answers no more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Forgets everything, and wakes everybody: who waits looks anew.
    pub fn forget(&self) {
        let wakers = self.lock().forget();
        wake(wakers);
    }

    pub(super) fn committed(&self, records: &[Arc<Record>]) {
        let wakers = self.lock().append(records, self.limits);
        wake(wakers);
    }

    /// These lanes end there at least: somebody else has written to them.
    pub(super) fn grew(&self, heads: &[(Lane, Pos)]) {
        let wakers = self.lock().grew(heads);
        wake(wakers);
    }

    pub(super) fn close(&self) {
        let wakers = {
            let mut state = self.lock();
            state.closed = true;
            state.fetches.wake(u64::MAX)
        };
        wake(wakers);
    }

    pub(super) fn poll_woken(&self, id: u64, waker: &Waker) -> Poll<()> {
        self.lock().fetches.poll(id, waker)
    }

    pub(super) fn take_back(&self, id: u64) {
        self.lock().fetches.take_back(id);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes records in; brings the wakers of those who wait for their lanes.
    fn append(&mut self, records: &[Arc<Record>], limits: TailLimits) -> Vec<Waker> {
        let (mut grown, now) = (0, Instant::now());
        for record in records {
            let lane = record.lane;
            let Some(run) = self.lanes.get_mut(usize::from(lane.0)) else { continue };
            grown |= bit(lane);
            let pushed = run.push(Arc::clone(record), now, limits.hole);
            if !pushed.cut.is_empty() {
                self.bytes -= pushed.cut.iter().map(|record| record.size()).sum::<usize>();
                self.arrived.retain(|of| *of != lane);
            }
            for size in pushed.gained {
                self.bytes += size;
                self.arrived.push_back(lane);
                self.shrink(limits);
            }
        }
        self.fetches.wake(grown)
    }

    /// Raises the ends of lanes; brings the wakers of those who wait for one that grew.
    fn grew(&mut self, heads: &[(Lane, Pos)]) -> Vec<Waker> {
        let (mut grown, now) = (0, Instant::now());
        for &(lane, head) in heads {
            let Some(run) = self.lanes.get_mut(usize::from(lane.0)) else { continue };
            if run.head().is_some_and(|known| known < head) {
                run.raise_head(head, now);
                grown |= bit(lane);
            }
        }
        self.fetches.wake(grown)
    }

    /// Lets the oldest records go until the limits hold; the newest one stays.
    fn shrink(&mut self, limits: TailLimits) {
        while self.arrived.len() > 1 && (self.arrived.len() > limits.records || self.bytes > limits.bytes) {
            let Some(lane) = self.arrived.pop_front() else { return };
            let oldest = self.lanes.get_mut(usize::from(lane.0)).and_then(Run::pop_oldest);
            self.bytes -= oldest.map_or(0, |record| record.size());
        }
    }

    fn forget(&mut self) -> Vec<Waker> {
        self.life = Life(self.life.0 + 1);
        self.lanes.iter_mut().for_each(|run| *run = Run::default());
        self.arrived.clear();
        self.bytes = 0;
        self.epochs = None;
        self.fetches.wake(u64::MAX)
    }
}

/// Outside the lock, since who is woken wants it at once.
fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

/// The list for some of its lanes.
fn of_lanes(epochs: &Epochs, wanted: &[(Lane, Pos)]) -> Epochs {
    let wanted = wanted.iter().fold(0, |set, (lane, _)| set | bit(*lane));
    let forks = epochs.forks.iter().filter(|fork| bit(fork.lane) & wanted != 0);
    Epochs { known: epochs.known.clone(), forks: forks.copied().collect() }
}

/// Serves lanes in order, some records each in turn, as the database's page does.
fn fill(records: &mut Vec<Arc<Record>>, mut open: Vec<(&Run, Pos)>, max_records: usize, max_bytes: usize) {
    let mut bytes = 0;
    while !open.is_empty() {
        let mut still_open = Vec::with_capacity(open.len());
        for (run, after) in open {
            let room = max_records.saturating_sub(records.len()).min(RECORDS_IN_TURN);
            if room == 0 || bytes >= max_bytes {
                return;
            }
            let mut reached = after;
            for record in run.after(after).take(room) {
                if bytes > 0 && bytes + record.size() > max_bytes {
                    return;
                }
                bytes += record.size();
                reached = record.pos;
                records.push(Arc::clone(record));
            }
            if run.covers(reached) {
                still_open.push((run, reached));
            }
        }
        open = still_open;
    }
}
