//! A consumer at work, whatever its events come by.

use std::time::Duration;

use anyhow::Context as _;
use divisi::events::consumer::{Consumer, ConsumerStatus, Observer};
use divisi::events::lane::Input;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::sale::PATIENCE;

/// A consumer at work.
pub(crate) struct Listening {
    observer: Observer,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listening {
    /// Lets it work; it goes on where the last one of its name stopped.
    pub(crate) fn start(runtime: &Runtime, consumer: Consumer) -> Listening {
        let observer = consumer.observe();
        let (stop, mut stopped) = watch::channel(false);
        let task = runtime.spawn(async move {
            consumer
                .run(async move {
                    // A sender that is gone is a stop too.
                    let _ = stopped.wait_for(|stop| *stop).await;
                })
                .await;
        });
        Listening { observer, stop, task }
    }

    /// How many events of the topic have taken effect.
    pub(crate) fn applied(&self) -> i64 {
        applied(&self.observer.status())
    }

    /// The share of lanes that follow a carrier now.
    pub(crate) fn on_carrier(&self) -> f64 {
        let status = self.observer.status();
        let lanes: Vec<_> = status.inputs.iter().flat_map(|input| &input.lanes).collect();
        let carried = lanes.iter().filter(|lane| lane.input == Input::Carrier).count();
        carried as f64 / lanes.len().max(1) as f64
    }

    /// How often a lane has gone from the carrier to the log.
    pub(crate) fn falls(&self) -> u64 {
        self.observer.status().inputs.iter().map(|input| input.falls).sum()
    }

    /// Waits until so many have taken effect, as long as a benchmark waits for what must happen.
    pub(crate) async fn until(&self, count: i64) -> anyhow::Result<()> {
        self.until_within(PATIENCE, count).await
    }

    /// Waits so long at the most.
    pub(crate) async fn until_within(&self, patience: Duration, count: i64) -> anyhow::Result<()> {
        let all = self.observer.until(|status| applied(status) >= count);
        tokio::time::timeout(patience, all)
            .await
            .with_context(|| format!("{} of {count} events came in {patience:?}", self.applied()))
    }

    /// Ends what it is doing and stops.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        self.task.await.context("the consumer panicked")
    }
}

fn applied(status: &ConsumerStatus) -> i64 {
    let lanes = status.inputs.iter().flat_map(|input| &input.lanes);
    lanes.map(|lane| lane.pos.0).sum()
}
