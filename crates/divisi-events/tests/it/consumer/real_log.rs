//! From the transaction of one service to the inbox of another, through a real log.

use divisi_contract::event::{LANES, lane_of};
use divisi_store::{Lane, Pos};

use super::pair::Pair;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_takes_effect_once_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let before = pair.sell("a", 1..=50).await;
    let running = pair.start();
    running.reached(&before).await;
    let live = pair.sell("b", 1..=50).await;
    running.reached(&live).await;
    assert_eq!(pair.entries("a").await, (1..=50).collect::<Vec<_>>());
    assert_eq!(pair.entries("b").await, (1..=50).collect::<Vec<_>>());
    let stopped = running.stop().await;
    assert_eq!(stopped.status.inputs[0].repeats, 0, "nothing was sent twice: {:?}", stopped.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_it_was_and_rereads_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut positions = Vec::new();
    for round in 0..4 {
        let pair = Pair::open(dir.path()).await;
        let running = pair.start();
        positions.extend(pair.sell("a", round * 10 + 1..=round * 10 + 10).await);
        running.reached(&positions).await;
        let status = running.stop().await.status;
        assert_eq!(status.inputs[0].handled, 10, "only what is new");
        assert!(
            status.inputs[0].diverged.is_empty(),
            "each start of the shop is an epoch, none lost anything"
        );
        pair.close().await;
    }
    let pair = Pair::open(dir.path()).await;
    assert_eq!(pair.entries("a").await, (1..=40).collect::<Vec<_>>());
    pair.close().await;
}

/// No command is given, and new events come before any consumer has connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_source_is_named_and_every_new_event_is_applied() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    pair.sell("a", 1..=3).await;
    let file = pair.shop_file();
    pair.close().await;
    let copy = dir.path().join("copy");
    std::fs::copy(&file, &copy).expect("a closed database is one file");

    let pair = Pair::open(dir.path()).await;
    let running = pair.start();
    running.reached(&pair.sell("a", 4..=6).await).await;
    running.stop().await;
    pair.close().await;

    std::fs::copy(&copy, &file).expect("the older copy is put back");
    let pair = Pair::open(dir.path()).await;
    let new = pair.sell("a", 104..=108).await;
    let running = pair.start();
    running.reached(&new).await;
    assert_eq!(pair.entries("a").await, [1, 2, 3, 4, 5, 6, 104, 105, 106, 107, 108]);
    let status = running.stop().await.status;
    let [diverged] = &status.inputs[0].diverged[..] else { panic!("one lane: {status:?}") };
    assert_eq!(diverged.lane, Lane(lane_of("a", LANES)));
    assert_eq!((diverged.shared, diverged.applied), (Pos(3), Pos(6)));
    pair.close().await;
}
