//! What a log forgets, and what it keeps for its readers.

use std::time::Duration;

use divisi_contract::Event;
use divisi_contract::event::{LANES, lane_of};
use divisi_postgres::retention;
use divisi_store::conformance::account::{Moved, deposit, everything};
use divisi_store::{Class, Lane, Pos, Store, StoreError, Tx, TxFailed, params};
use tokio::task::JoinSet;

use crate::fixture::databases;

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn change(store: &Store, sql: &str, params: &[divisi_store::ValueRef<'_>]) {
    let changed: Result<(u64, _), TxFailed<StoreError>> =
        store.run(Class::Consumer, async |tx: &mut Tx| tx.execute(sql, params).await).await;
    changed.expect("it is changed");
}

/// How many records there are in the lane of `a`, its floor and its head.
async fn lane(store: &Store) -> (usize, i64, i64) {
    let mut wanted = everything();
    wanted.lanes = vec![(Lane(lane_of("a", LANES)), Pos(0))];
    let page = store.backend().page(wanted.clone()).await.expect("a page");
    let (floor, head) = (page.floors[0].1, page.heads[0].1);
    wanted.lanes[0].1 = floor;
    let page = store.backend().page(wanted).await.expect("a page");
    assert!(
        page.records.iter().zip(floor.0 + 1..).all(|(record, pos)| record.pos.0 == pos),
        "dense above the floor"
    );
    (page.records.len(), floor.0, head.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_and_read_is_forgotten_and_the_floor_says_so() {
    let (store, _) = databases().await.bank().await;
    for _ in 0..30 {
        deposit(&store, "a", 1).await.expect("it commits");
    }
    let forget = async || retention::forget(&store, Moved::TOPIC, DAY).await.expect("it may forget");
    assert_eq!(forget().await, 0, "nothing is old");
    change(&store, "UPDATE divisi_outbox SET at = at - 200000000000", &[]).await;
    assert_eq!(forget().await, 0, "the reader has read nothing");
    let epoch = store.backend().page(everything()).await.expect("a page").epochs.current();
    change(&store, "UPDATE divisi_reader SET epoch = $1, pos = 10", params![epoch.0]).await;
    assert_eq!(forget().await, 10, "what the reader has");
    assert_eq!(lane(&store).await, (20, 10, 30));
    deposit(&store, "a", 1).await.expect("it commits");
    change(&store, "UPDATE divisi_reader SET pos = 31", &[]).await;
    assert_eq!(forget().await, 20, "what is young stays");
    assert_eq!(lane(&store).await, (1, 30, 31));
    change(&store, "UPDATE divisi_outbox SET at = at - 200000000000", &[]).await;
    assert_eq!(forget().await, 1, "the last one too");
    assert_eq!(lane(&store).await, (0, 31, 31), "an empty lane knows its end");
    let (_, positions) = deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!(positions[0].pos, Pos(32), "and goes on counting there");
}

/// Forgetting and writing at the same time: the floor never races with the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_retention_do_not_meet_in_a_hole() {
    let (store, _) = databases().await.bank().await;
    change(&store, "DELETE FROM divisi_reader", &[]).await;
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        writers.spawn(async move {
            let mut told = Vec::new();
            for _ in 0..60 {
                let (_, positions) = deposit(&store, "a", 1).await.expect("it commits");
                told.push(positions[0].pos.0);
            }
            told
        });
    }
    let forgetting = tokio::spawn({
        let store = store.clone();
        async move {
            let mut forgotten = 0;
            loop {
                forgotten +=
                    retention::forget(&store, Moved::TOPIC, Duration::ZERO).await.expect("it may forget");
                if forgotten >= 200 {
                    return forgotten;
                }
            }
        }
    });
    let mut told: Vec<i64> = writers.join_all().await.into_iter().flatten().collect();
    told.sort_unstable();
    assert_eq!(told, (1..=240).collect::<Vec<_>>(), "each position once");
    forgetting.await.expect("it forgets");
    let (n, floor, head) = lane(&store).await;
    assert_eq!((head, floor + n as i64), (240, 240));
}
