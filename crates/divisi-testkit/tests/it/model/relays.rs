//! Relays that linger after another has taken over, on a slow way to their carrier.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_events::carrier::{Arrivals, CarrierError, Head, Hint, PublishError};
use divisi_events::relay::{Lease, Relay};
use divisi_store::{Epochs, Lane, Pos, Record, StoreError, Tx};
use divisi_testkit::MemoryCarrier;
use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::counted::{TOPIC, lanes};
use super::source::Life;

/// Relays at work, the newest last; those before it are zombies.
#[derive(Default)]
pub(super) struct Relays {
    leader: Arc<AtomicU64>,
    working: Vec<JoinHandle<()>>,
}

impl Relays {
    /// A relay more, which leads from now on.
    pub(super) fn lead(&mut self, life: &Life, carrier: &MemoryCarrier, seed: u64) {
        let token = self.leader.fetch_add(1, Ordering::Relaxed) + 1;
        let lease = Arc::new(Believes { token, leader: Arc::clone(&self.leader) });
        let way = Arc::new(SlowWay { carrier: carrier.clone(), random: Mutex::new(Rng::with_seed(seed)) });
        let relay = Relay::new(life.store.clone(), TOPIC, lanes(), life.feed(), way, lease);
        self.working.push(tokio::spawn(relay.run(std::future::pending())));
        if self.working.len() > 3 {
            self.working.remove(0).abort();
        }
    }

    /// Some relay crashes.
    pub(super) fn crash(&mut self, random: &mut Rng) {
        if !self.working.is_empty() {
            self.working.remove(random.usize(0..self.working.len())).abort();
        }
    }

    /// All of them crash: their service is gone.
    pub(super) fn crash_all(&mut self) {
        self.working.drain(..).for_each(|relay| relay.abort());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.working.is_empty()
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.crash_all();
    }
}

/// A relay believes that it leads, whoever does; only the transaction of its cursor tells.
pub(super) struct Believes {
    token: u64,
    leader: Arc<AtomicU64>,
}

impl Believes {
    /// Two of which the second leads, with tokens 1 and 2.
    pub(super) fn two() -> (Arc<Believes>, Arc<Believes>) {
        let leader = Arc::new(AtomicU64::new(2));
        let of = |token| Arc::new(Believes { token, leader: Arc::clone(&leader) });
        (of(1), of(2))
    }
}

impl Lease for Believes {
    fn take<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async { Ok(Some(self.token)) })
    }

    fn holds<'a>(&'a self, _: &'a mut Tx, _: &'a str, token: u64) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { Ok(token == self.leader.load(Ordering::Relaxed)) })
    }

    fn release<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A carrier at the end of a slow way, for one relay.
struct SlowWay {
    carrier: MemoryCarrier,
    random: Mutex<Rng>,
}

impl SlowWay {
    async fn way(&self) {
        let ms = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            let most = if random.f64() < 0.05 { 6_000 } else { 30 };
            random.u64(0..most)
        };
        sleep(Duration::from_millis(ms)).await;
    }
}

impl Carrier for SlowWay {
    fn name(&self) -> &str {
        self.carrier.name()
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
            self.way().await;
            let outcomes = self.carrier.publish(source, topic, lane, records, fence).await;
            self.way().await;
            outcomes
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
            self.way().await;
            self.carrier.beacon(source, topic, epochs, heads).await
        })
    }

    fn head<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
    ) -> BoxFuture<'a, Result<Head, CarrierError>> {
        Box::pin(async move {
            self.way().await;
            self.carrier.head(source, topic, lane).await
        })
    }

    fn read<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        from: Vec<(Lane, Option<Hint>)>,
    ) -> BoxFuture<'a, Result<Box<dyn Arrivals>, CarrierError>> {
        self.carrier.read(source, topic, from)
    }
}
