//! A source that goes back in time: a restored backup, a promoted standby, another database in its place.

use std::sync::Arc;

use divisi_contract::Event;
use divisi_contract::event::{LANES, lane_of};
use divisi_store::{Epoch, Lane, Pos, Read, StoreError, Stores, params};

use super::bench::{Bench, COUNTER, Caused, Counted, Does, Running, eventually, is_at_end};
use super::source::{Past, Source};
use crate::consumer::Diverged;

/// A source that was only started again: all lanes enter, idle ones too, and nothing is read twice.
pub async fn a_newer_epoch_without_a_loss_changes_nothing(stores: &dyn Stores) {
    let bench = Bench::new(stores, "entered").await;
    let running = bench.start();
    for epoch in [20, 30, 40] {
        bench.count("k", [epoch, epoch + 1]);
        bench.quiet(&running).await;
        bench.counter.begin_epoch(Epoch(epoch));
        running
            .until("it is entered", |status| {
                status.inputs[0].epoch == Epoch(epoch) && status.inputs[0].diverged.is_empty()
            })
            .await;
        bench.count("k", [epoch + 2]);
    }
    bench.quiet(&running).await;
    bench.assert_once().await;
}

/// The effects of lost events are named by position, what was parked of them goes, and what comes instead is applied.
pub async fn what_the_source_no_longer_knows_is_named(stores: &dyn Stores) {
    let bench = Bench::new(stores, "diverged").await;
    bench.does("bad", Does::Permanent);
    let running = bench.start();
    bench.count("k", 1..=3);
    bench.count("bad", 1..=3);
    let backup = bench.counter.backup();
    bench.count("k", 4..=5);
    bench.count("bad", 4..=5);
    bench.quiet(&running).await;
    running.until_parked((0, 0, 1, 5)).await;
    bench.counter.restore(&backup, 20);
    running.until("it is entered", |status| status.inputs[0].epoch == Epoch(20)).await;
    running.until_parked((0, 0, 1, 3)).await;
    bench.count("k", 104..=106);
    bench.quiet(&running).await;
    assert_eq!(bench.effects_of("k").await, [1, 2, 3, 4, 5, 104, 105, 106]);
    let mut diverged = running.observer.status().inputs[0].diverged.clone();
    diverged.retain(|lost| lost.lane == lane("k"));
    assert_eq!(diverged, [lost("k", 20, 3, 5)]);
}

/// Two copies of one backup, one after the other: neither knows the other's epoch.
pub async fn siblings_of_one_copy_are_told_apart(stores: &dyn Stores) {
    siblings(stores, "siblings", false).await;
}

/// The same with a consumer that starts again in between: it knows the list of the source that it entered.
pub async fn a_restart_remembers_the_list(stores: &dyn Stores) {
    siblings(stores, "siblings-restart", true).await;
}

async fn siblings(stores: &dyn Stores, name: &str, restart: bool) {
    let bench = Bench::new(stores, name).await;
    let mut running = bench.start();
    bench.count("k", 1..=3);
    let backup = bench.counter.backup();
    bench.count("k", [4]);
    bench.quiet(&running).await;
    let mut expected = vec![1, 2, 3, 4];
    let mut named = Vec::new();
    for (epoch, n, lost_before) in [(20, 100, 1), (30, 200, 2), (40, 300, 2)] {
        if restart {
            named.extend(running.stop().await.status.inputs[0].diverged.clone());
            bench.counter.restore(&backup, epoch);
            running = bench.start();
        } else {
            bench.counter.restore(&backup, epoch);
        }
        bench.count("k", [n, n + 1]);
        bench.quiet(&running).await;
        expected.extend([n, n + 1]);
        assert_eq!(bench.effects_of("k").await, expected, "in epoch {epoch}");
        let diverged = running.observer.status().inputs[0].diverged.clone();
        assert_eq!(diverged.last(), Some(&lost("k", epoch, 3, 3 + lost_before)));
    }
}

/// An old primary that goes on answering is not believed.
pub async fn an_older_answer_is_thrown_away(stores: &dyn Stores) {
    let bench = Bench::new(stores, "old-primary").await;
    let running = bench.start();
    bench.count("k", [1]);
    bench.counter.begin_epoch(Epoch(20));
    bench.quiet(&running).await;
    bench.counter.twist(|_, mut fetched| {
        fetched.epochs.known.retain(|epoch| *epoch < Epoch(20));
        fetched
    });
    bench.count("k", [2]);
    running
        .until("the trouble shows", |status| {
            let trouble = status.inputs[0].trouble.as_ref();
            trouble.is_some_and(|trouble| trouble.contains("older than 20"))
        })
        .await;
    assert_eq!(bench.effects_of("k").await, [1]);
    bench.counter.twist(|_, fetched| fetched);
    bench.quiet(&running).await;
    bench.assert_once().await;
}

/// A database that has nothing in common with the one that was read is not read on.
pub async fn another_database_ends_the_input_in_words(stores: &dyn Stores) {
    let bench = Bench::new(stores, "stranger-db").await;
    let running = bench.start();
    bench.count("k", 1..=3);
    bench.quiet(&running).await;
    bench.counter.restore(&Past::default(), 99);
    bench.count("k", 4..=9);
    running
        .until("the input has ended", |status| {
            let ended = status.inputs[0].ended.as_ref();
            ended.is_some_and(|reason| reason.contains("no epoch in common"))
        })
        .await;
    assert_eq!(bench.effects_of("k").await, [1, 2, 3]);
}

/// One topic has entered the source's epoch of today, the other still stands in the older one.
pub async fn two_topics_of_one_source_enter_each_by_itself(stores: &dyn Stores) {
    let bench = Bench::new(stores, "two-topics").await;
    let causes = Source::new(COUNTER, Caused::TOPIC);
    let consumer = bench.consumer().from(COUNTER, Caused::TOPIC, Arc::clone(&causes) as _);
    let running = Running::start(consumer);
    let cause = || causes.emit(&Caused { key: "k".to_owned() });
    bench.count("k", 1..=3);
    (0..3).for_each(|_| cause());
    let (counted, caused) = (bench.counter.backup(), causes.backup());
    bench.count("k", 4..=5);
    (0..2).for_each(|_| cause());
    bench.quiet(&running).await;
    let n_causes = async || {
        let rows: Result<(i64,), StoreError> = bench
            .store
            .read(async |read: &mut Read| read.query_one("SELECT count(*) FROM causes", params![]).await)
            .await;
        rows.expect("the store can be read").0
    };
    eventually("causes are read", n_causes, |n| *n == 5).await;
    bench.counter.restore(&counted, 20);
    bench.count("k", 104..=105);
    running
        .until("one topic is in the new epoch", |status| is_at_end(status, &bench.counter, Counted::TOPIC))
        .await;
    causes.restore(&caused, 20);
    (0..3).for_each(|_| cause());
    eventually("the other's new events are not taken for old ones", n_causes, |n| *n == 8).await;
    assert_eq!(running.observer.status().inputs[2].diverged, [lost("k", 20, 3, 5)]);
}

fn lane(key: &str) -> Lane {
    Lane(lane_of(key, LANES))
}

fn lost(key: &str, epoch: i64, shared: i64, applied: i64) -> Diverged {
    Diverged { lane: lane(key), epoch: Epoch(epoch), shared: Pos(shared), applied: Pos(applied) }
}
