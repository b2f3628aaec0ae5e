//! Databases that go back in time, again and again: older copies put back, siblings of one copy, clocks that jump, old
//! primaries that answer, old relays that publish, consumers that restart in between.
//!
//! Positions are used again. What took effect and is no longer known is reported, position by position; everything
//! else takes effect once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use divisi_events::Carrier;
use divisi_store::mutation::Mutation;
use divisi_store::{Epoch, Lane, Pos};
use divisi_testkit::disk::Place;
use divisi_testkit::{Faults, History, Outcome, Seeds};
use tokio::time::{Instant, sleep};

use super::counted::{Counted, KEYS, lanes};
use super::reader::Step;
use super::source::{Life, SOURCE};
use super::stage::{self, Stage};

/// How many events are announced.
const EVENTS: i64 = 60;
/// How often the database goes back at the most.
const FAILOVERS: usize = 5;
/// How many copies of the database are kept.
const COPIES: usize = 6;

const CARRIER: Seeds =
    Seeds { test: "model::failover::what_is_lost_is_reported_through_a_carrier", count: 600, kept: &[] };
const LOG: Seeds =
    Seeds { test: "model::failover::what_is_lost_is_reported_from_the_log", count: 600, kept: &[] };

#[test]
fn what_is_lost_is_reported_through_a_carrier() {
    CARRIER.hold(|seed| play(seed, true));
}

#[test]
fn what_is_lost_is_reported_from_the_log() {
    LOG.hold(|seed| play(seed, false));
}

#[test]
fn epochs_that_are_ignored_are_noticed() {
    CARRIER.catch(Mutation::IgnoreEpoch, |seed| play(seed, true));
    LOG.catch(Mutation::IgnoreEpoch, |seed| play(seed, false));
}

#[test]
fn a_list_of_one_fork_is_noticed() {
    CARRIER.catch(Mutation::LastForkOnly, |seed| play(seed, true));
    LOG.catch(Mutation::LastForkOnly, |seed| play(seed, false));
}

#[test]
fn the_source_s_list_alone_is_noticed() {
    CARRIER.catch(Mutation::OneList, |seed| play(seed, true));
    LOG.catch(Mutation::OneList, |seed| play(seed, false));
}

#[test]
fn a_list_that_a_restart_forgets_is_noticed() {
    CARRIER.catch(Mutation::ListForgotten, |seed| play(seed, true));
    LOG.catch(Mutation::ListForgotten, |seed| play(seed, false));
}

#[test]
fn a_record_of_an_unknown_epoch_that_is_applied_is_noticed() {
    CARRIER.catch(Mutation::RecordWithoutList, |seed| play(seed, true));
}

#[test]
fn epochs_that_are_counted_one_by_one_are_noticed() {
    CARRIER.catch(Mutation::PlusOne, |seed| play(seed, true));
    LOG.catch(Mutation::PlusOne, |seed| play(seed, false));
}

fn play(seed: u64, carrier: bool) -> Outcome {
    stage::play(seed, async |history| World::begin(seed, carrier, history).await.run().await)
}

/// What a life of the source has known, when it is over.
struct Known {
    epochs: BTreeSet<Epoch>,
    uids: BTreeSet<i64>,
}

struct World {
    stage: Stage,
    old: Vec<Life>,
    known: Vec<Known>,
    copies: Vec<Place>,
    clock_off: i64,
    n_failovers: usize,
    n_crashes: usize,
    uid: i64,
    diverged: BTreeSet<(Lane, Epoch, Pos, Pos)>,
}

impl World {
    async fn begin(seed: u64, carrier: bool, history: History) -> World {
        let faults = Faults { lost: 0.15, ..Faults::BAD_DAY };
        let mut stage = Stage::begin(seed, carrier.then_some(faults), history).await;
        let copies = vec![stage.life.copy(&mut stage.disk)];
        World {
            stage,
            old: Vec::new(),
            known: Vec::new(),
            copies,
            clock_off: 0,
            n_failovers: 0,
            n_crashes: 0,
            uid: 0,
            diverged: BTreeSet::new(),
        }
    }

    async fn run(mut self) -> Result<(), String> {
        self.consume();
        self.stage.relay();
        let mut troubled_until = None;
        while troubled_until.is_none_or(|until| Instant::now() < until) {
            let most = if self.stage.random.u8(0..25) == 0 { 4_000 } else { 200 };
            sleep(Duration::from_millis(self.stage.random.u64(0..most))).await;
            self.something().await;
            if self.uid >= EVENTS && troubled_until.is_none() {
                troubled_until =
                    Some(Instant::now() + Duration::from_millis(self.stage.random.u64(0..5_000)));
            }
        }
        self.heal().await?;
        self.look().await
    }

    /// One thing happens.
    async fn something(&mut self) {
        match self.stage.random.u32(0..1_000) {
            0..350 => self.announce().await,
            350..450 => self.publish_a_slice().await,
            450..480 => self.crash_consumer(),
            480..510 => self.consume(),
            510..620 => {
                let copy = self.stage.life.copy(&mut self.stage.disk);
                self.copies.push(copy);
                if self.copies.len() > COPIES {
                    self.copies.remove(self.stage.random.usize(0..COPIES));
                }
            }
            620..680 if self.n_failovers < FAILOVERS => self.fail_over().await,
            680..700 => {
                self.stage.relays.crash(&mut self.stage.random);
                self.stage.relay();
            }
            _ => {}
        }
    }

    async fn announce(&mut self) {
        let n = self.stage.random.i64(1..=2).min(EVENTS - self.uid);
        let mut events = Vec::new();
        for _ in 0..n {
            self.uid += 1;
            let key = KEYS[self.stage.random.usize(0..4)].clone();
            self.stage
                .history
                .note(format!("life {}", self.stage.life.number), format!("{}: {key}", self.uid));
            events.push(Counted { key, version: 0, uid: self.uid, after: None, failures: 0 });
        }
        if !events.is_empty() {
            self.stage.life.announce(events).await;
        }
    }

    /// Some relay, of today or of an older life, publishes records from somewhere in its log.
    async fn publish_a_slice(&mut self) {
        let Some(carrier) = &self.stage.carrier else { return };
        let n = self.stage.random.usize(0..=self.old.len());
        let life = self.old.get(n).unwrap_or(&self.stage.life);
        let lane = lanes()[self.stage.random.usize(0..2)];
        let records = life.records(lane).await;
        let from = self.stage.random.usize(0..=records.len());
        let to = records.len().min(from + 3);
        if from < to {
            let words = format!("publishes {} to {} of lane {lane}", from + 1, to);
            self.stage.history.note(format!("relay of life {}", life.number), words);
            let _ =
                carrier.publish(&SOURCE.into(), super::counted::TOPIC, lane, &records[from..to], None).await;
        }
    }

    /// The source goes on with an older copy of its database, or with one of today; the old one goes on answering.
    async fn fail_over(&mut self) {
        self.n_failovers += 1;
        let now = self.stage.life.copy(&mut self.stage.disk);
        self.clock_off += [0, 0, -3_000_000_000, 500_000_000][self.stage.random.usize(0..4)];
        let from = match self.stage.random.u8(0..10) {
            0..2 => now,
            _ => self.copies[self.stage.random.usize(0..self.copies.len())].clone(),
        };
        self.stage.relays.crash_all();
        let next = Life::begin(&mut self.stage.disk, self.stage.life.number + 1, &from, self.clock_off).await;
        let [(_, a), (_, b)] = next.heads().await;
        let words = format!("begins epoch {} with {a} and {b} events", next.epoch.0);
        self.stage.history.note(format!("life {}", next.number), words);
        self.old.push(std::mem::replace(&mut self.stage.life, next));
        if self.old.len() > 3 {
            let gone = self.old.remove(0);
            self.remember(&gone).await;
            gone.log.close();
            gone.store.close().await;
        }
        let old = self.old.iter().map(|life| (life.feed(), life.epoch)).collect();
        let today = Some(self.stage.life.feed());
        self.stage.reached.change(|reached| (reached.today, reached.old) = (today, old));
        self.stage.relay();
    }

    async fn remember(&mut self, life: &Life) {
        let mut uids = BTreeSet::new();
        for lane in lanes() {
            uids.extend(life.uids(lane).await);
        }
        self.known.push(Known { epochs: life.own_epochs().await, uids });
    }

    fn consume(&mut self) {
        self.stage.consume();
        if self.stage.consumers.len() > 2 {
            self.end_consumer(0);
        }
    }

    fn crash_consumer(&mut self) {
        if !self.stage.consumers.is_empty() {
            let n = self.stage.random.usize(0..self.stage.consumers.len());
            self.end_consumer(n);
        }
        if self.stage.consumers.is_empty() {
            self.consume();
        }
    }

    fn end_consumer(&mut self, n: usize) {
        self.n_crashes += 1;
        let gone = self.stage.consumers.remove(n);
        self.stage.history.note(format!("consumer {}", gone.number), "crashes");
        self.diverged.extend(gone.diverged());
    }

    /// Waits until the reader is where the source of today is.
    async fn heal(&mut self) -> Result<(), String> {
        let whole = async |stage: &Stage| {
            let heads = stage.life.heads().await;
            let epoch = stage.life.epochs().await.current();
            let marks = stage.reader.watermarks().await;
            if marks.iter().copied().eq(heads.map(|(lane, head)| (lane, epoch, head))) {
                return Ok(());
            }
            Err(format!("epoch {}, heads {heads:?}, watermarks {marks:?}", epoch.0))
        };
        self.stage.heal(whole).await
    }

    async fn look(mut self) -> Result<(), String> {
        let lives: Vec<Life> = self.old.drain(..).collect();
        for life in &lives {
            self.remember(life).await;
        }
        let mut uids = BTreeSet::new();
        for lane in lanes() {
            uids.extend(self.stage.life.uids(lane).await);
        }
        self.known.push(Known { epochs: self.stage.life.own_epochs().await, uids });
        for working in &self.stage.consumers {
            self.diverged.extend(working.diverged());
        }
        let mut went_back = BTreeSet::new();
        for lane in lanes() {
            self.look_at(lane, &mut went_back).await?;
        }
        // A consumer that crashes right behind its commit has no time to report.
        if !self.diverged.is_subset(&went_back) || went_back.len() > self.diverged.len() + self.n_crashes {
            return Err(format!("{went_back:?} went back, {:?} was reported", self.diverged));
        }
        Ok(())
    }

    async fn look_at(
        &self,
        lane: Lane,
        went_back: &mut BTreeSet<(Lane, Epoch, Pos, Pos)>,
    ) -> Result<(), String> {
        let mut path: Vec<i64> = Vec::new();
        let (mut applied, mut lost): (BTreeMap<i64, u32>, BTreeMap<i64, u32>) = Default::default();
        for step in self.stage.reader.history(lane).await {
            match step {
                Step::Applied { uid, .. } => {
                    *applied.entry(uid).or_default() += 1;
                    path.push(uid);
                }
                Step::WentBack { to, epoch } => {
                    let kept = usize::try_from(to.0).unwrap_or(0).min(path.len());
                    went_back.insert((lane, epoch, to, Pos(path.len() as i64)));
                    for uid in path.split_off(kept) {
                        *lost.entry(uid).or_default() += 1;
                        let source = self.known.iter().find(|known| known.epochs.contains(&epoch));
                        if source.is_some_and(|source| source.uids.contains(&uid)) {
                            return Err(format!(
                                "event {uid} was called lost in epoch {}, whose log has it",
                                epoch.0
                            ));
                        }
                    }
                }
            }
        }
        let log = self.stage.life.uids(lane).await;
        if path != log {
            return Err(format!("lane {lane}: the log is {log:?}, what took effect is {path:?}"));
        }
        for uid in log {
            let (applied, lost) = (applied.get(&uid).copied(), lost.get(&uid).copied().unwrap_or(0));
            if applied != Some(1 + lost) {
                return Err(format!(
                    "event {uid} took effect {applied:?} times and was reported lost {lost} times"
                ));
            }
        }
        Ok(())
    }
}
