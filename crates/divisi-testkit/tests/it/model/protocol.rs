//! Relays, carriers and consumers that crash, linger, lose and repeat; keys that wait for others; handlers that fail.
//!
//! Positions are never used again here: nothing is ever lost, and every event takes effect once, in order per key.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use divisi_store::mutation::Mutation;
use divisi_testkit::{Faults, History, MemoryCarrier, Outcome, Seeds};
use tokio::time::{Instant, sleep};

use super::counted::{Counted, KEYS, lanes};
use super::reader::{Step, Working};
use super::stage::{self, Stage};

/// How many events are announced.
const EVENTS: i64 = 40;

/// How many seeds were played through a carrier, how many events the carriers have brought, and how often a lane went
/// to the log.
static PLAYED: AtomicU64 = AtomicU64::new(0);
static BY_CARRIER: AtomicU64 = AtomicU64::new(0);
static FALLS: AtomicU64 = AtomicU64::new(0);

const CARRIER: Seeds = Seeds {
    test: "model::protocol::every_event_takes_effect_once_through_a_bad_carrier",
    count: 600,
    kept: &[],
};
const LOG: Seeds =
    Seeds { test: "model::protocol::every_event_takes_effect_once_from_the_log", count: 600, kept: &[] };

#[test]
fn every_event_takes_effect_once_through_a_bad_carrier() {
    CARRIER.hold(|seed| play(seed, true));
    let [played, by_carrier, falls] =
        [&PLAYED, &BY_CARRIER, &FALLS].map(|counter| counter.load(Ordering::Relaxed));
    println!("{played} seeds, {by_carrier} events by carriers, {falls} falls to the log");
    // Both feeds must have been in use, or this has tested one of them alone.
    assert!(played < 20 || (by_carrier > 5 * played && falls > 2 * played));
}

#[test]
fn every_event_takes_effect_once_from_the_log() {
    LOG.hold(|seed| play(seed, false));
}

#[test]
fn a_seed_played_twice_makes_one_history() {
    for seed in 0..20 {
        let (first, second) = (play(seed, true), play(seed, true));
        assert!(first.history.lines().count() > 40, "something happened");
        for (first, second) in first.history.lines().zip(second.history.lines()) {
            assert_eq!(first, second, "seed {seed}");
        }
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn a_gap_that_is_accepted_is_noticed() {
    CARRIER.catch(Mutation::AcceptGap, |seed| play(seed, true));
}

#[test]
fn a_watermark_that_is_not_compared_is_noticed() {
    CARRIER.catch(Mutation::NoCompareAndSet, |seed| play(seed, true));
    LOG.catch(Mutation::NoCompareAndSet, |seed| play(seed, false));
}

#[test]
fn a_lane_that_never_asks_the_log_is_noticed() {
    CARRIER.catch(Mutation::NoHeads, |seed| play(seed, true));
}

#[test]
fn a_relay_that_goes_on_behind_a_failure_does_no_harm() {
    Seeds { count: 150, ..CARRIER }.bear(Mutation::RelaySkipsFailed, |seed| play(seed, true));
}

#[test]
fn a_relay_that_ignores_its_fence_does_no_harm() {
    Seeds { count: 150, ..CARRIER }.bear(Mutation::RelayIgnoresFence, |seed| play(seed, true));
}

fn play(seed: u64, carrier: bool) -> Outcome {
    stage::play(seed, async |history| World::begin(seed, carrier, history).await.run().await)
}

struct World {
    stage: Stage,
    falls: u64,
    produced: i64,
    versions: [i64; 4],
}

impl World {
    async fn begin(seed: u64, carrier: bool, history: History) -> World {
        let stage = Stage::begin(seed, carrier.then_some(Faults::BAD_DAY), history).await;
        World { stage, falls: 0, produced: 0, versions: [0; 4] }
    }

    async fn run(mut self) -> Result<(), String> {
        let dies_after = Duration::from_millis(self.stage.random.u64(0..20_000));
        let dies = self.stage.random.u8(0..3) == 0;
        let began = Instant::now();
        let mut troubled_until = None;
        self.consume();
        self.relay();
        while troubled_until.is_none_or(|until| Instant::now() < until) {
            let most = if self.stage.random.u8(0..25) == 0 { 4_000 } else { 200 };
            sleep(Duration::from_millis(self.stage.random.u64(0..most))).await;
            if dies && began.elapsed() >= dies_after {
                self.stage.carrier.iter().for_each(MemoryCarrier::die);
            }
            self.something().await;
            if self.produced >= EVENTS && troubled_until.is_none() {
                self.owed().await;
                troubled_until =
                    Some(Instant::now() + Duration::from_millis(self.stage.random.u64(0..5_000)));
            }
        }
        self.heal().await?;
        let falls = self.falls + self.stage.consumers.iter().map(Working::falls).sum::<u64>();
        let by_carrier = self.stage.reader.by_carrier().await;
        self.stage
            .history
            .note("consumers", format!("{by_carrier} events by the carrier, {falls} falls to the log"));
        PLAYED.fetch_add(u64::from(self.stage.carrier.is_some()), Ordering::Relaxed);
        BY_CARRIER.fetch_add(by_carrier, Ordering::Relaxed);
        FALLS.fetch_add(falls, Ordering::Relaxed);
        self.look().await
    }

    /// One thing happens.
    async fn something(&mut self) {
        match self.stage.random.u32(0..1_000) {
            0..400 => self.announce().await,
            400..450 => {
                self.stage.history.note("relay", "crashes");
                self.stage.relays.crash(&mut self.stage.random);
                if self.stage.relays.is_empty() {
                    self.relay();
                }
            }
            450..490 => self.relay(),
            490..540 => self.consume(),
            540..600 => {
                if !self.stage.consumers.is_empty() {
                    let gone =
                        self.stage.consumers.remove(self.stage.random.usize(0..self.stage.consumers.len()));
                    self.stage.history.note(format!("consumer {}", gone.number), "crashes");
                    self.falls += gone.falls();
                }
                if self.stage.consumers.is_empty() {
                    self.consume();
                }
            }
            600..615 => self.restart().await,
            615..640 => {
                let most = self.stage.random.usize(1..=4);
                if let Some(carrier) = &self.stage.carrier {
                    self.stage.history.note("carrier", format!("forgets up to {most} records a lane"));
                    carrier.forget_tails(most);
                }
            }
            640..645 => {
                if let Some(carrier) = &self.stage.carrier {
                    self.stage.history.note("carrier", "is deleted and made anew");
                    carrier.recreate();
                }
            }
            _ => {}
        }
    }

    async fn announce(&mut self) {
        let n = self.stage.random.i64(1..=3).min(EVENTS - self.produced);
        let mut events = Vec::new();
        for _ in 0..n {
            let key = self.stage.random.usize(0..4);
            // A key waits only for one before it, so that no two wait for each other.
            let after = (key > 0 && self.stage.random.f64() < 0.15).then(|| {
                let other = self.stage.random.usize(0..key);
                (KEYS[other].clone(), self.versions[other] + self.stage.random.i64(0..=1))
            });
            let failures = if self.stage.random.f64() < 0.1 { self.stage.random.u8(1..=2) } else { 0 };
            events.push(self.next(key, after.filter(|(_, version)| *version > 0), failures));
        }
        if !events.is_empty() {
            self.stage.life.announce(events).await;
        }
    }

    fn next(&mut self, key: usize, after: Option<(String, i64)>, failures: u8) -> Counted {
        self.produced += 1;
        self.versions[key] += 1;
        let event = Counted {
            key: KEYS[key].clone(),
            version: self.versions[key],
            uid: self.produced,
            after,
            failures,
        };
        let waits = event.after.as_ref().map(|(key, version)| format!(", waits for {key} {version}"));
        let fails = if failures > 0 { format!(", fails {failures} times") } else { String::new() };
        let waits = waits.unwrap_or_default();
        self.stage
            .history
            .note("source", format!("{}: {} {}{waits}{fails}", event.uid, event.key, event.version));
        event
    }

    /// Announces what some event may still wait for.
    async fn owed(&mut self) {
        for key in 0..3 {
            let event = self.next(key, None, 0);
            self.stage.life.announce(vec![event]).await;
        }
    }

    fn relay(&mut self) {
        if self.stage.carrier.is_some() {
            self.stage.history.note("relay", "another one leads");
            self.stage.relay();
        }
    }

    fn consume(&mut self) {
        self.stage.consume();
        if self.stage.consumers.len() > 3 {
            self.falls += self.stage.consumers.remove(0).falls();
        }
    }

    /// The source stops and starts: its file stays as it is.
    async fn restart(&mut self) {
        self.stage.history.note("source", "restarts");
        self.stage.relays.crash_all();
        self.stage.reached.change(|reached| reached.today = None);
        self.stage.life.log.close();
        self.stage.life.store.close().await;
        sleep(Duration::from_millis(self.stage.random.u64(0..2_000))).await;
        self.stage.life.reopen(&self.stage.disk).await;
        self.stage.reached.change(|reached| reached.today = Some(self.stage.life.feed()));
        self.relay();
    }

    /// Waits until everything has taken effect.
    async fn heal(&mut self) -> Result<(), String> {
        let whole = async |stage: &Stage| {
            let heads = stage.life.heads().await;
            let marks = stage.reader.watermarks().await;
            let parked = stage.reader.parked().await;
            if parked == 0 && marks.iter().map(|(lane, _, pos)| (*lane, *pos)).eq(heads) {
                return Ok(());
            }
            let keys = stage.reader.parked_keys().await;
            Err(format!("heads {heads:?}, watermarks {marks:?}, parked {parked} {keys}"))
        };
        self.stage.heal(whole).await
    }

    async fn look(&self) -> Result<(), String> {
        let mut applied: [Vec<i64>; 4] = Default::default();
        for lane in lanes() {
            for step in self.stage.reader.history(lane).await {
                match step {
                    Step::WentBack { to, .. } => {
                        return Err(format!("lane {lane} went back to {to}, and nothing was lost"));
                    }
                    Step::Applied { key, version, uid } => {
                        let known = KEYS.iter().position(|known| *known == key);
                        let Some(n) = known else { return Err(format!("{uid} has the key {key}")) };
                        applied[n].push(version);
                    }
                }
            }
        }
        for (n, applied) in applied.iter().enumerate() {
            if !applied.iter().copied().eq(1..=self.versions[n]) {
                return Err(format!(
                    "{}: 1 to {} in order were announced, {applied:?} took effect",
                    KEYS[n], self.versions[n]
                ));
            }
        }
        Ok(())
    }
}
