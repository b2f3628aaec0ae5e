//! How many events go from the shop through the listener's inbox, as fast as they go, beside the same engines by hand.
//!
//! Sellers commit batches as long as no more than a window of events is on its way, so that the slowest part is always busy and
//! nothing is far behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use divisi::{Answer, Context, Tx};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::by_hand::{ByHand, Publishing, Seller, Statements};
use super::place::{By, Place, Servers};
use crate::events::arrival::announce;
use crate::events::listening::Listening;
use crate::events::sale::{Hear, SHELVES, Sold};
use crate::report::{Aim, Report};

const ROUNDS: usize = 5;
const SPAN: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(1);
const SELLERS: u64 = 4;
/// Events of one transaction of a seller.
const AT_ONCE: u64 = 50;
/// Events on their way at the most.
const WINDOW: i64 = 4_000;
/// For lanes to follow their carrier.
const SETTLING: u64 = 9_000;
const LEAST: Aim = Aim::AtLeast(0.8);

/// Who is measured beside: with a broker, also one that is less safe, and no aim.
const PEERS: [(&str, Statements, Publishing, Option<Aim>); 3] = [
    ("pipelined", Statements::Pipelined, Publishing::Relayed, Some(LEAST)),
    ("awaited", Statements::Awaited, Publishing::Relayed, Some(LEAST)),
    ("pipelined, from memory", Statements::Pipelined, Publishing::FromMemory, None),
];

/// One pipeline: how many events were sold, and how many took effect.
struct Flow {
    sold: AtomicI64,
    applied: Box<dyn Fn() -> i64 + Send + Sync>,
}

/// Measures each engine in turn with its peers.
pub(super) fn measure(runtime: &Runtime, servers: &Servers, report: &mut Report) -> anyhow::Result<()> {
    report.condition(format!(
        "saturation: {SELLERS} sellers commit {AT_ONCE} events at a time while fewer than {WINDOW} are on their way; a row and a watermark in \
         the listener's database, up to 100 events a transaction; by hand: a serial outbox, twelve workers, the same rows and batches, \
         statements pipelined or awaited one by one, to a broker by a relay that reads the outbox, or from the seller's memory, which loses \
         what it had not published when it dies; {ROUNDS} rounds in turn of {SPAN:?}"
    ));
    for by in By::ALL {
        let name = by.name();
        let hear = Hear::new(SETTLING);
        let place = Arc::new(Place::open(runtime, servers, by, "saturation", hear.clone())?);
        let listening = Arc::new(place.listen(runtime));
        runtime.block_on(announce(&place.shop, &hear, 0, SETTLING))?;
        runtime.block_on(listening.until(SETTLING as i64))?;
        let mut peers = Vec::new();
        for (what, statements, publishing, aim) in PEERS {
            if by != By::Log || publishing == Publishing::Relayed {
                let hand = Arc::new(ByHand::open(runtime, servers, by, statements, publishing)?);
                peers.push((what, hand, aim, Vec::new()));
            }
        }
        let (mut ours, mut falls) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let before = listening.falls();
            ours.push(runtime.block_on(through(&place, &listening))?);
            falls.push((listening.falls() - before) as f64);
            for (_, hand, _, rounds) in &mut peers {
                rounds.push(runtime.block_on(by_hand(hand))?);
            }
        }
        report.figure(format!("saturation by {name}, divisi"), "events/s", &ours);
        for (what, _, aim, rounds) in &peers {
            report.figure(format!("saturation by {name}, by hand, {what}"), "events/s", rounds);
            report.ratio(format!("saturation by {name} ÷ by hand, {what}"), &ours, rounds, *aim);
        }
        if by != By::Log {
            report.figure(format!("saturation by {name}, lanes that went to the log"), "a round", &falls);
        }
    }
    Ok(())
}

async fn through(place: &Arc<Place>, listening: &Arc<Listening>) -> anyhow::Result<f64> {
    let seen = Arc::clone(listening);
    let flow = Flow::new(move || seen.applied());
    let sellers = (0..SELLERS).map(|_| Arc::clone(place)).collect();
    flow.rate(sellers).await
}

async fn by_hand(hand: &Arc<ByHand>) -> anyhow::Result<f64> {
    let seen = Arc::clone(hand);
    let flow = Flow::new(move || seen.applied());
    let mut sellers = Vec::new();
    for _ in 0..SELLERS {
        sellers.push(hand.seller().await?);
    }
    flow.rate(sellers).await
}

/// One who commits batches.
trait Sells: Send + 'static {
    fn commit(&self, events: Vec<Sold>) -> impl Future<Output = anyhow::Result<()>> + Send;
}

impl Sells for Arc<Place> {
    async fn commit(&self, events: Vec<Sold>) -> anyhow::Result<()> {
        let sold: Answer<()> = self
            .shop
            .transact(&Context::root("bench"), async move |tx: &mut Tx| {
                events.into_iter().for_each(|sold| tx.emit(sold));
                Ok(())
            })
            .await;
        sold.map_err(|error| anyhow!("{error:?}"))
    }
}

impl Sells for Seller {
    async fn commit(&self, events: Vec<Sold>) -> anyhow::Result<()> {
        self.sell(&events).await
    }
}

impl Flow {
    fn new(applied: impl Fn() -> i64 + Send + Sync + 'static) -> Arc<Flow> {
        Arc::new(Flow { sold: applied().into(), applied: Box::new(applied) })
    }

    /// Sells batches until the time is over, as many as the window lets.
    async fn sell(&self, first: u64, seller: impl Sells) -> anyhow::Result<()> {
        let end = Instant::now() + WARM_UP + SPAN;
        let mut n = first;
        while Instant::now() < end {
            if self.sold.load(Relaxed) - (self.applied)() > WINDOW {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            self.sold.fetch_add(AT_ONCE as i64, Relaxed);
            // Beyond the events whose time is noted.
            seller.commit((n..n + AT_ONCE).map(|n| Sold::new(n % SHELVES, u64::MAX)).collect()).await?;
            n += AT_ONCE;
        }
        Ok(())
    }

    /// Events a second that took effect within the span, once it runs evenly; then waits until all have.
    async fn rate<S: Sells>(self: Arc<Self>, sellers: Vec<S>) -> anyhow::Result<f64> {
        let mut selling = JoinSet::new();
        for (n, seller) in sellers.into_iter().enumerate() {
            let flow = Arc::clone(&self);
            selling.spawn(async move { flow.sell(n as u64 * SHELVES / SELLERS, seller).await });
        }
        sleep(WARM_UP).await;
        let (before, began) = ((self.applied)(), Instant::now());
        while let Some(seller) = selling.join_next().await {
            seller??;
        }
        let (after, took) = ((self.applied)(), began.elapsed());
        let until = Instant::now() + crate::events::sale::PATIENCE;
        let sold = self.sold.load(Relaxed);
        while (self.applied)() < sold {
            anyhow::ensure!(Instant::now() < until, "{} of {sold} events took effect", (self.applied)());
            sleep(Duration::from_millis(1)).await;
        }
        Ok((after - before) as f64 / took.as_secs_f64())
    }
}
