//! Many seeds, each a history of its own, and how to play one again.

use std::env;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use divisi_store::mutation::{self, Mutation};

/// Plays one seed alone, and prints its history.
pub const SEED: &str = "DIVISI_SEED";
/// How many times the usual number of seeds are played: 10 for a long run, 0.1 for a short one.
pub const TIMES: &str = "DIVISI_SEED_TIMES";

/// What came of one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was broken; none when every promise was kept.
    pub broken: Option<String>,
    /// What happened.
    pub history: String,
}

/// One simulation, played with many seeds.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    /// The path of the test, so that a failure can say how to play it again.
    pub test: &'static str,
    /// How many seeds are played, from 0.
    pub count: u64,
    /// Seeds that once failed; they go first.
    pub kept: &'static [u64],
}

impl Seeds {
    /// Plays every seed; panics at the first that breaks something, with its history and how to play it again.
    pub fn hold(self, play: impl Fn(u64) -> Outcome + Sync) {
        if let Some(seed) = asked() {
            let outcome = guarded(&play, seed);
            println!("{}", outcome.history);
            if let Some(broken) = outcome.broken {
                panic!("seed {seed}: {broken}");
            }
            return;
        }
        if let Some((seed, outcome)) = self.first_broken(None, &play) {
            panic!(
                "{}\nseed {seed}: {}\nplay it again: {SEED}={seed} cargo test -p {} --test it -- --exact {} --nocapture",
                outcome.history,
                outcome.broken.unwrap_or_default(),
                env!("CARGO_PKG_NAME"),
                self.test,
            );
        }
    }

    /// Makes a mistake on purpose; panics when no seed notices it. A test that cannot fail proves nothing.
    pub fn catch(self, mistake: Mutation, play: impl Fn(u64) -> Outcome + Sync) {
        let caught = self.first_broken(Some(mistake), &play);
        let Some((seed, outcome)) = caught else {
            panic!("{mistake:?} was made and none of {} seeds noticed it", self.count);
        };
        println!("{mistake:?} is noticed by seed {seed}: {}", outcome.broken.unwrap_or_default());
    }

    /// Plays every seed with a mistake that must do no harm.
    pub fn bear(self, mistake: Mutation, play: impl Fn(u64) -> Outcome + Sync) {
        if let Some((seed, outcome)) = self.first_broken(Some(mistake), &play) {
            panic!(
                "{}\nseed {seed} with {mistake:?}: {}",
                outcome.history,
                outcome.broken.unwrap_or_default()
            );
        }
    }

    /// The lowest broken seed of those that were played until one was found.
    fn first_broken(
        self,
        mistake: Option<Mutation>,
        play: &(impl Fn(u64) -> Outcome + Sync),
    ) -> Option<(u64, Outcome)> {
        let times: f64 = env::var(TIMES).ok().and_then(|times| times.parse().ok()).unwrap_or(1.0);
        let count = (self.count as f64 * times) as u64;
        let n_kept = self.kept.len() as u64;
        let next = AtomicU64::new(0);
        let found = AtomicBool::new(false);
        let broken: Mutex<Option<(u64, Outcome)>> = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    mutation::make(mistake);
                    while !found.load(Ordering::Relaxed) {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        let kept = usize::try_from(turn).ok().and_then(|turn| self.kept.get(turn));
                        let seed = kept.copied().unwrap_or_else(|| turn.saturating_sub(n_kept));
                        if kept.is_none() && seed >= count {
                            break;
                        }
                        let outcome = guarded(play, seed);
                        if outcome.broken.is_none() {
                            continue;
                        }
                        found.store(true, Ordering::Relaxed);
                        let mut broken = broken.lock().unwrap_or_else(PoisonError::into_inner);
                        if broken.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                            *broken = Some((seed, outcome));
                        }
                    }
                });
            }
        });
        broken.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `body` on a runtime of its own with a paused clock, with every draw from `seed`.
pub fn simulate<T>(seed: u64, body: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime for the simulation").block_on(body)
}

fn asked() -> Option<u64> {
    env::var(SEED).ok()?.parse().ok()
}

/// A panic of the code under test is a broken promise like any other.
fn guarded(play: &impl Fn(u64) -> Outcome, seed: u64) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| play(seed))).unwrap_or_else(|panic| {
        let words =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Outcome {
            broken: Some(format!("panicked: {}", words.unwrap_or("without words"))),
            history: String::new(),
        }
    })
}
