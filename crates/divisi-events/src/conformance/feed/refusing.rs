//! What a log does not answer, and what it keeps of its readers.

use std::sync::Arc;

use divisi_contract::{CauseKind, Context, Event};
use divisi_store::{Class, Epoch, Lane, Pos, StoreError, Tx, params};

use super::bench::{Bench, LONG_MS, Noted, places, want, wanted};
use super::{LISTENER, Make};
use crate::event_log::Progress;
use crate::fetch::{Fetch, FetchRefused, LaneWanted};

pub(super) async fn what_retention_removed_is_refused(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    bench.note(&[1, 1, 1, 1, 2]).await;
    let removed = bench
        .store
        .run(Class::Consumer, async |tx: &mut Tx| {
            let sql = "DELETE FROM divisi_outbox WHERE topic = $1 AND lane = 1 AND pos <= 3";
            tx.execute(sql, params![Noted::TOPIC]).await?;
            let sql = "UPDATE divisi_lane SET floor_pos = 3 WHERE topic = $1 AND lane = 1";
            tx.execute(sql, params![Noted::TOPIC]).await?;
            Ok::<(), StoreError>(())
        })
        .await;
    removed.expect("retention works");
    // Whatever is still in memory is true; the database decides about the rest. A new epoch empties the memory.
    bench.store.backend().begin_epoch(Epoch(0)).await.expect("an epoch begins");
    let epoch = bench.epoch().await;
    for pos in [0, 2] {
        let want = Fetch { wait_ms: LONG_MS, ..want(epoch, &[(2, 0), (1, pos)]) };
        let refused = bench.fetch(want).await.expect_err("it never skips");
        let floor = FetchRefused::RetentionExceeded { lane: Lane(1), floor: Pos(3) };
        assert_eq!(refused.refusal(), Some(&floor), "from {pos}");
    }
    assert_eq!(
        places(&bench.ask(&[(1, 3), (2, 0)], 512, 0).await),
        [(1, 4), (2, 1)],
        "at the floor it goes on"
    );
    let ends = bench.ask(&[(1, 0)], 0, 0).await;
    assert_eq!(ends.heads, [(Lane(1), Pos(4))], "ends are told to everybody");
}

pub(super) async fn strangers_are_refused(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    bench.note(&[1]).await;
    let epoch = bench.epoch().await;
    let refused = bench.fetch(Fetch { topic: "nowhere".into(), ..want(epoch, &[(1, 0)]) }).await;
    assert_eq!(refused.expect_err("there is no such topic").refusal(), Some(&FetchRefused::NoSuchTopic));
    for reader in ["other", "suitecase", "other.suite", ""] {
        let refused = bench.fetch(Fetch { reader: reader.into(), ..want(epoch, &[(1, 0)]) }).await;
        assert_eq!(
            refused.expect_err("it is not the caller's").refusal(),
            Some(&FetchRefused::NotAllowed),
            "{reader}"
        );
    }
    let own = Fetch { reader: format!("{LISTENER}.posts").into(), ..want(epoch, &[(1, 0)]) };
    assert_eq!(places(&bench.fetch(own).await.expect("its own")), [(1, 1)]);

    let stranger = (make.reach)(Arc::clone(&bench.log), "stranger".into()).await;
    let cx = Context::root("stranger");
    for reader in ["stranger", LISTENER] {
        let asked = Fetch { reader: reader.into(), ..want(epoch, &[(1, 0)]) };
        let refused = stranger.fetch(&cx, asked).await.expect_err("nobody named it");
        assert_eq!(refused.refusal(), Some(&FetchRefused::NotAllowed));
        let told =
            Progress { reader: reader.into(), topic: Noted::TOPIC.into(), lanes: vec![wanted(epoch, 1, 1)] };
        let refused = stranger.progress(&cx, told).await.expect_err("nobody named it");
        assert_eq!(refused.cause().map(|cause| cause.kind), Some(CauseKind::NotAllowed));
    }
}

pub(super) async fn nonsense_did_not_run(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let epoch = bench.epoch().await;
    for lanes in [&[(64, 0)][..], &[(1, 0), (1, 0)], &[(1, -1)], &[(1, i64::MIN)]] {
        let error = bench.fetch(want(epoch, lanes)).await.expect_err("it makes no sense");
        assert_eq!(error.cause().map(|cause| cause.kind), Some(CauseKind::Malformed), "{lanes:?}");
        assert!(!error.may_have_run());
    }
    let beyond = bench.ask(&[(1, i64::MAX)], 512, 0).await;
    assert_eq!((beyond.records.len(), beyond.heads), (0, vec![(Lane(1), Pos(0))]), "nothing is there");
}

pub(super) async fn progress_is_kept_and_may_go_back(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    bench.note(&[1, 1, 1, 2]).await;
    let epoch = bench.epoch().await;
    let at = async |lane: usize| {
        let readers = bench.log.readers().await.expect("the store can be read");
        let [reader] = &readers[..] else { panic!("one reader: {readers:?}") };
        assert_eq!((&*reader.name, &*reader.topic, reader.lanes.len()), (LISTENER, Noted::TOPIC, 64));
        (reader.lanes[lane].epoch, reader.lanes[lane].pos.0, reader.unread())
    };
    assert_eq!(at(1).await, (Epoch(0), 0, 4), "registered from the first start");

    // It has two in hand and has applied one: that one is its progress.
    let lane = LaneWanted { applied: Pos(1), ..wanted(epoch, 1, 2) };
    bench.fetch(Fetch { lanes: vec![lane], ..want(epoch, &[]) }).await.expect("the log answers");
    assert_eq!(at(1).await, (Epoch(0), 0, 4), "told lazily");
    bench.log.keep().await.expect("it is kept");
    assert_eq!(at(1).await, (epoch, 1, 3));

    let told = |pos| Progress {
        reader: LISTENER.into(),
        topic: Noted::TOPIC.into(),
        lanes: vec![wanted(epoch, 1, pos), wanted(epoch, 2, 1)],
    };
    bench.feed.progress(&bench.cx, told(3)).await.expect("it is kept");
    assert_eq!(at(1).await, (epoch, 3, 0), "at its stop at once");
    bench.feed.progress(&bench.cx, told(1)).await.expect("it is kept");
    assert_eq!(at(1).await, (epoch, 1, 2), "a restored reader goes back");

    assert!(bench.log.drop_reader(LISTENER).await.expect("it is dropped"));
    assert_eq!(bench.log.readers().await.expect("the store can be read"), []);
    assert!(!bench.log.drop_reader(LISTENER).await.expect("nobody is left"));
    bench.ask(&[(1, 2)], 512, 0).await;
    bench.log.keep().await.expect("it is kept");
    assert_eq!(at(1).await, (epoch, 2, 2), "who fetches again is a reader again");
    assert_eq!(at(2).await, (Epoch(0), 0, 2), "in all lanes, also those that it did not name");
}
