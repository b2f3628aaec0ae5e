//! Sales that go on while something happens to the broker, and the count at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divisi_store::{Lane, Position};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use crate::broker::Broker;
use crate::pair::{PATIENCE, Pair, Running, TOPIC};

/// As many as there are lanes, about: most lanes have one or two.
const ITEMS: usize = 48;
/// A transaction of eight sales so often: four hundred sales a second.
const EVERY: Duration = Duration::from_millis(20);

/// The shop under load.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<Sales>,
}

/// What was sold.
#[derive(Default)]
pub(crate) struct Sales {
    /// The last number of each item.
    numbers: BTreeMap<String, i64>,
    /// The last position of each lane.
    ends: BTreeMap<Lane, Position>,
}

impl Load {
    pub(crate) fn begin(pair: &Arc<Pair>) -> Load {
        let (stop, stopping) = watch::channel(false);
        let pair = Arc::clone(pair);
        let task = tokio::spawn(async move {
            let (mut sales, mut clock) = (Sales::default(), interval(EVERY));
            for round in 0.. {
                clock.tick().await;
                if *stopping.borrow() {
                    break;
                }
                let (n, first) = (round / 6 + 1, (round % 6) * 8);
                let items: Vec<_> =
                    (first..first + 8).map(|n| format!("item-{}", n as usize % ITEMS)).collect();
                let positions = pair.sell(&items, n).await;
                sales.numbers.extend(items.into_iter().map(|item| (item, n)));
                sales.ends.extend(positions.into_iter().map(|position| (position.lane, position)));
            }
            sales
        });
        Load { stop, task }
    }

    pub(crate) async fn end(self) -> Sales {
        self.stop.send_replace(true);
        self.task.await.expect("the shop sells")
    }
}

impl Sales {
    /// Waits until all is entered, and counts: nothing lost, nothing twice, in order.
    pub(crate) async fn are_entered_once(&self, pair: &Pair, running: &Running) {
        let ends: Vec<_> = self.ends.values().cloned().collect();
        running.reached(&ends).await;
        assert_eq!(self.numbers.len(), ITEMS);
        for (item, last) in &self.numbers {
            assert_eq!(pair.entries(item).await, (1..=*last).collect::<Vec<_>>(), "{item}");
        }
    }

    /// Waits until the broker holds all of them: what it forgot was published again.
    pub(crate) async fn are_held<G>(&self, broker: &Broker<G>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let held = broker.positions(TOPIC).await;
            let missing = self.ends.values().find_map(|end| {
                let held = held.get(&end.lane.0);
                (1..=end.pos.0)
                    .find(|pos| held.is_none_or(|held| !held.contains(pos)))
                    .map(|pos| (end.lane, pos))
            });
            let Some((lane, pos)) = missing else { return };
            assert!(Instant::now() < until, "the broker does not hold {pos} of lane {lane}");
        }
    }

    /// How many sales there were.
    pub(crate) fn sold(&self) -> u64 {
        self.numbers.values().map(|last| last.unsigned_abs()).sum()
    }

    /// How many lanes have a sale.
    pub(crate) fn lanes(&self) -> usize {
        self.ends.len()
    }
}
