//! What both models have: a source, a reader, perhaps a carrier with its relays, and consumers that come and go.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use divisi_events::Carrier;
use divisi_testkit::{Disk, Faults, FaultyFeed, History, MemoryCarrier, Outcome, Reached, Watched, simulate};
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::reader::{Reader, Working};
use super::relays::Relays;
use super::source::Life;

/// How long healing may take, in simulated time.
const HEALED_WITHIN: Duration = Duration::from_secs(15 * 60);

pub(super) struct Stage {
    pub(super) random: Rng,
    pub(super) history: History,
    pub(super) disk: Disk,
    pub(super) life: Life,
    pub(super) reader: Reader,
    pub(super) reached: Arc<Watched<Reached>>,
    pub(super) carrier: Option<MemoryCarrier>,
    pub(super) relays: Relays,
    pub(super) consumers: Vec<Working>,
    pub(super) n_consumers: usize,
}

/// Plays one seed: what happened, and which promise was broken.
pub(super) fn play<R>(seed: u64, run: impl FnOnce(History) -> R) -> Outcome
where
    R: Future<Output = Result<(), String>>,
{
    simulate(seed, async {
        let history = History::begin();
        let broken = run(history.clone()).await.err();
        Outcome { broken, history: history.to_string() }
    })
}

impl Stage {
    /// The first life of a source and its reader; with a carrier if it has faults.
    pub(super) async fn begin(seed: u64, carrier: Option<Faults>, history: History) -> Stage {
        let mut random = Rng::with_seed(seed);
        let mut disk = Disk::new().expect("a directory");
        let life = Life::first(&mut disk).await;
        let reader = Reader::open(&mut disk).await;
        let reached = Reached { today: Some(life.feed()), old: Vec::new(), calm: false };
        let carrier = carrier.map(|faults| MemoryCarrier::new(faults, random.u64(..)));
        if let Some(carrier) = &carrier {
            reader.begin_on_carrier(&carrier.start()).await;
        }
        Stage {
            random,
            history,
            disk,
            life,
            reader,
            reached: Arc::new(Watched::new(reached)),
            carrier,
            relays: Relays::default(),
            consumers: Vec::new(),
            n_consumers: 0,
        }
    }

    /// Another relay of today's life leads, where there is a carrier.
    pub(super) fn relay(&mut self) {
        if let Some(carrier) = &self.carrier {
            self.relays.lead(&self.life, carrier, self.random.u64(..));
        }
    }

    /// Another consumer begins.
    pub(super) fn consume(&mut self) {
        self.n_consumers += 1;
        self.history.note(format!("consumer {}", self.n_consumers), "begins");
        let feed = Arc::new(FaultyFeed::new(Arc::clone(&self.reached), self.random.u64(..)));
        let carrier = self.carrier.clone().map(|carrier| Arc::new(carrier) as Arc<dyn Carrier>);
        self.consumers.push(self.reader.consume(self.n_consumers, feed, carrier));
    }

    /// No more trouble; waits until `whole` says that everything has taken effect, or tells what it last said.
    pub(super) async fn heal(
        &mut self,
        whole: impl AsyncFn(&Stage) -> Result<(), String>,
    ) -> Result<(), String> {
        self.history.note("everything", "heals");
        self.reached.change(|reached| reached.calm = true);
        if let Some(carrier) = &self.carrier {
            carrier.set_faults(Faults::NONE);
        }
        let until = Instant::now() + HEALED_WITHIN;
        while let Err(why) = whole(self).await {
            if Instant::now() >= until {
                let state: Vec<_> = self.consumers.iter().map(Working::state).collect();
                return Err(format!("stuck: {why}\n{}", state.join("\n")));
            }
            sleep(Duration::from_millis(500)).await;
        }
        self.history.note("everything", "has taken effect");
        Ok(())
    }
}
