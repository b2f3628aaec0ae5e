//! A consumer that applies some lanes, as it is told.

use std::sync::Arc;

use divisi_contract::event::{LANES, lane_of};
use divisi_events::conformance::Told;
use divisi_events::consumer::{Consumer, ConsumerStatus, LaneSet, LaneState, Observer, Stopped};
use divisi_store::Epoch;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::pair::{PATIENCE, Pair};

/// A consumer that shares, running.
struct Sharing {
    told: Arc<Told>,
    observer: Observer,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Stopped>,
}

impl Sharing {
    fn start(consumer: Consumer, mine: Option<LaneSet>) -> Sharing {
        let told = Arc::new(Told::default());
        told.say(mine);
        let consumer = consumer.share(Arc::clone(&told) as _);
        let observer = consumer.observe();
        let (stop, stopping) = oneshot::channel::<()>();
        let task = tokio::spawn(consumer.run(async move { drop(stopping.await) }));
        Sharing { told, observer, stop, task }
    }

    async fn until(&self, what: &str, wanted: impl FnMut(&ConsumerStatus) -> bool) {
        let until = tokio::time::timeout(PATIENCE, self.observer.until(wanted)).await;
        assert!(until.is_ok(), "{what}: {:#?}", self.observer.status());
    }

    async fn stop(self) -> Stopped {
        drop(self.stop);
        let stopped = self.task.await.expect("it does not panic");
        assert_eq!(self.told.left(), 1, "it gives back what it had");
        stopped
    }
}

fn n_here(status: &ConsumerStatus) -> usize {
    status.inputs[0].n_here()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_come_and_go_and_nothing_is_applied_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let (first, second) = (
        Sharing::start(pair.consumer(), Some(LaneSet::ALL)),
        Sharing::start(pair.consumer(), Some(LaneSet::NONE)),
    );
    first.until("it has all", |status| n_here(status) == usize::from(LANES)).await;
    second.until("it has none", |status| !status.inputs[0].lanes.is_empty() && n_here(status) == 0).await;
    for round in 0..6 {
        let (from, to) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let sold = pair.sell("a", round * 10 + 1..=round * 10 + 10).await;
        from.until("it applies them", |status| status.has_reached(&sold)).await;
        from.told.say(Some(LaneSet::NONE));
        to.told.say(Some(LaneSet::ALL));
        from.until("it gives them away", |status| n_here(status) == 0).await;
        to.until("it knows where they are", |status| status.has_reached(&sold)).await;
    }
    assert_eq!(pair.entries("a").await, (1..=60).collect::<Vec<_>>());
    let handled = first.stop().await.status.inputs[0].handled + second.stop().await.status.inputs[0].handled;
    assert_eq!(handled, 60);
    pair.close().await;
}

/// Whoever cannot ask goes on with the lanes that it has, says so, and has none if it had none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_stay_as_they_are_while_nobody_can_be_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let running = Sharing::start(pair.consumer(), None);
    let has_trouble = |status: &ConsumerStatus| status.inputs[0].trouble.is_some();
    running.until("it says so", has_trouble).await;
    assert_eq!(n_here(&running.observer.status()), 0);
    running.told.say(Some(LaneSet::ALL));
    running.until("it has all", |status| n_here(status) == usize::from(LANES) && !has_trouble(status)).await;
    running.told.say(None);
    running.until("it says so again", has_trouble).await;
    let sold = pair.sell("a", 1..=10).await;
    running.until("it goes on", |status| status.has_reached(&sold)).await;
    running.told.say(Some(LaneSet::ALL));
    running.until("it is over", |status| !has_trouble(status)).await;
    running.stop().await;
    pair.close().await;
}

/// An instance that was without lanes while the source began an epoch has not entered it; another one of its name has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_lanes_after_an_epoch_goes_on_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let waits = Sharing::start(pair.consumer(), Some(LaneSet::NONE));
    waits.until("it has none", |status| !status.inputs[0].lanes.is_empty() && n_here(status) == 0).await;
    let before = waits.observer.status().inputs[0].epoch;
    let works = pair.start();
    works.reached(&pair.sell("a", 1..=3).await).await;
    pair.shop.backend().begin_epoch(Epoch(0)).await.expect("an epoch begins");
    works.reached(&pair.sell("a", 4..=6).await).await;
    works.stop().await;
    assert_eq!(waits.observer.status().inputs[0].epoch, before, "it was not told");
    waits.told.say(Some(LaneSet::ALL));
    let sold = pair.sell("a", 7..=9).await;
    waits.until("it goes on", |status| status.has_reached(&sold)).await;
    assert_eq!(pair.entries("a").await, (1..=9).collect::<Vec<_>>());
    let stopped = waits.stop().await;
    assert_eq!(stopped.status.inputs[0].handled, 3, "only what is new");
    pair.close().await;
}

/// A lane in trouble that goes to another instance is no trouble here any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_went_away_in_trouble_is_the_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let running = Sharing::start(pair.consumer(), Some(LaneSet::ALL));
    let lane = usize::from(lane_of("late", LANES));
    pair.sell("late", 1..=1).await;
    let backs_off = |status: &ConsumerStatus| {
        let lane = status.inputs[0].lanes.get(lane);
        lane.is_some_and(|lane| matches!(lane.state, LaneState::BackingOff { .. }))
    };
    running.until("it waits", backs_off).await;
    running.told.say(Some(LaneSet::NONE));
    running.until("it has none", |status| n_here(status) == 0).await;
    let status = running.observer.status();
    assert!(status.inputs[0].lanes.iter().all(|lane| lane.state == LaneState::Elsewhere), "{status:#?}");
    assert_eq!((status.ended(), status.unread()), (None, 0), "{status:#?}");
    running.stop().await;
    pair.close().await;
}
