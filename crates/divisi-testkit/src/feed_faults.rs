//! The way to a log: slow, cut, and sometimes to the wrong one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::{Answer, CallError, CauseKind, Context};
use divisi_events::{Feed, Fetch, FetchRefused, Fetched, Progress};
use divisi_store::Epoch;
use fastrand::Rng;
use tokio::time::sleep;

use crate::watched::Watched;

/// Where a fetch arrives.
#[derive(Clone)]
pub struct Reached {
    /// The log of today; none while its service is down.
    pub today: Option<Arc<dyn Feed>>,
    /// Logs of earlier lives that go on answering, each with its epoch: old primaries that nobody has stopped.
    pub old: Vec<(Arc<dyn Feed>, Epoch)>,
    /// Whether the way is good now: no delays, no cuts, no old primaries.
    pub calm: bool,
}

/// The way from one reader to a log. Delays and cuts are drawn from a seed.
pub struct FaultyFeed {
    reached: Arc<Watched<Reached>>,
    random: Mutex<Rng>,
}

/// What happens to one fetch.
struct Fate {
    there: Duration,
    back: Duration,
    /// Cut on the way there, or on the way back.
    cut: (bool, bool),
    old: Option<usize>,
}

impl FaultyFeed {
    /// A way to whatever `reached` says.
    pub fn new(reached: Arc<Watched<Reached>>, seed: u64) -> FaultyFeed {
        FaultyFeed { reached, random: Mutex::new(Rng::with_seed(seed)) }
    }

    fn fate(&self, reached: &Reached) -> Fate {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.calm {
            let way = Duration::from_millis(1);
            return Fate { there: way, back: way, cut: (false, false), old: None };
        }
        let mut way = || {
            // Now and then so long that others go on meanwhile and this reader becomes a zombie.
            let most = if random.f64() < 0.08 { 4_000 } else { 40 };
            Duration::from_millis(random.u64(0..most))
        };
        let (there, back) = (way(), way());
        let cut = (random.f64() < 0.03, random.f64() < 0.03);
        let n_old = reached.old.len();
        let old = (n_old > 0 && random.f64() < 0.1).then(|| random.usize(0..n_old));
        Fate { there, back, cut, old }
    }
}

impl Feed for FaultyFeed {
    fn fetch<'a>(&'a self, cx: &'a Context, mut want: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>> {
        Box::pin(async move {
            let (_, fate) = self.reached.look(|reached| self.fate(reached));
            sleep(fate.there).await;
            if fate.cut.0 {
                return cut();
            }
            let (version, now) = self.reached.look(Reached::clone);
            let answer = match fate.old.and_then(|n| now.old.get(n)) {
                Some((old, epoch)) => {
                    // An old primary must not begin an epoch above a reader's; on a database that one process owns
                    // nothing but the way to it can be wrong. So it answers as of its own epoch, which is below.
                    for lane in &mut want.lanes {
                        lane.epoch = lane.epoch.min(*epoch);
                    }
                    old.fetch(cx, want).await
                }
                None => {
                    let Some(today) = now.today else { return cut() };
                    tokio::select! {
                        biased;
                        // The service that was asked is gone.
                        () = self.reached.newer_than(version) => return cut(),
                        answer = today.fetch(cx, want) => answer,
                    }
                }
            };
            sleep(fate.back).await;
            if fate.cut.1 { cut() } else { answer }
        })
    }

    fn progress<'a>(&'a self, cx: &'a Context, told: Progress) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async move {
            let (_, fate) = self.reached.look(|reached| self.fate(reached));
            sleep(fate.there).await;
            match self.reached.look(Reached::clone).1.today.filter(|_| !fate.cut.0) {
                Some(today) => today.progress(cx, told).await,
                None => cut(),
            }
        })
    }
}

fn cut<T, R>() -> Answer<T, R> {
    Err(CallError::not_run(CauseKind::Unreachable, "the way is cut"))
}
