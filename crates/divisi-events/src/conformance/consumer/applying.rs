//! Every event once, in order, whatever the answers are like.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::{LANES, lane_of};
use divisi_store::{Lane, Stores};

use super::bench::{Bench, Counted, NAME, Noise};

/// Effects, watermarks and new events of a thousand events over a hundred keys.
pub async fn every_event_takes_effect_once_in_order_per_key(stores: &dyn Stores) {
    let bench = Bench::new(stores, "once").await;
    for n in 1..=10 {
        (0..100).for_each(|key| bench.count(&format!("k{key}"), [n]));
    }
    let running = bench.start();
    bench.quiet(&running).await;
    bench.assert_once().await;
    let stopped = running.stop().await;
    assert_eq!(stopped.status.unread(), 0);
    assert_eq!(bench.echoes(1_000).await.len(), 1_000, "one new event for each");
}

/// Where the time of a transaction is over, the rest of a batch is left to the next; where none is set, it is one.
pub async fn a_batch_ends_when_its_time_is_over(stores: &dyn Stores) {
    const EVENTS: u64 = 40;
    for (name, max) in [("unhurried", None), ("hurried", Some(Duration::ZERO))] {
        let mut bench = Bench::new(stores, name).await;
        (bench.options.batch_work_max, bench.options.batch_work_max_at_a_server) = (max, max);
        bench.count("k", 1..=EVENTS as i64);
        let running = bench.start();
        bench.quiet(&running).await;
        bench.assert_once().await;
        let begun = bench.faults.begun();
        match max {
            // Some are begun to declare watermarks and to look for parked keys.
            None => assert!(begun < EVENTS / 2, "{begun} transactions for {EVENTS} events"),
            Some(_) => assert!(begun >= EVENTS, "{begun} transactions for {EVENTS} events"),
        }
    }
}

/// Answers that bring everything twice and shuffled: only what is next is applied.
pub async fn repeats_and_shuffles_change_nothing(stores: &dyn Stores) {
    let bench = Bench::new(stores, "shuffled").await;
    bench.counter.twist(|_, mut fetched| {
        fetched.records.extend(fetched.records.clone());
        for at in 0..fetched.records.len() {
            let other = (at + fastrand::usize(0..20)).min(fetched.records.len() - 1);
            fetched.records.swap(at, other);
        }
        fetched
    });
    let running = bench.start();
    for n in 1..=60 {
        (0..10).for_each(|key| bench.count(&format!("k{key}"), [n]));
    }
    bench.quiet(&running).await;
    bench.assert_once().await;
    let input = running.observer.status().inputs.remove(0);
    assert!(input.repeats > 0, "copies did arrive");
}

/// A record that is left out is asked for; what comes behind it is not applied before.
pub async fn a_gap_is_asked_again_and_nothing_behind_it_is_applied(stores: &dyn Stores) {
    let bench = Bench::new(stores, "gap").await;
    bench.count("k", 1..=10);
    let left_out = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let seen = Arc::clone(&left_out);
    bench.counter.twist(move |_, mut fetched| {
        if seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 5 {
            fetched.records.retain(|record| record.pos.0 != 4);
        }
        fetched
    });
    let running = bench.start();
    running
        .until("the gap is seen", |status| status.inputs.first().is_some_and(|input| input.gaps > 0))
        .await;
    bench.quiet(&running).await;
    assert_eq!(bench.effects_of("k").await, (1..=10).collect::<Vec<_>>());
    assert!(left_out.load(std::sync::atomic::Ordering::Relaxed) > 5, "it was asked again and again");
}

/// Events without a handler cost no batch of their own, and no gap.
pub async fn what_nobody_handles_is_passed_over(stores: &dyn Stores) {
    let bench = Bench::new(stores, "unhandled").await;
    for n in 1..=30 {
        (0..9).for_each(|_| bench.counter.emit(&Noise { key: "k".to_owned() }));
        bench.count("k", [n]);
    }
    bench.counter.emit(&Noise { key: "k".to_owned() });
    let running = bench.start();
    bench.quiet(&running).await;
    bench.assert_once().await;
    let input = running.observer.status().inputs.remove(0);
    assert_eq!((input.handled, input.gaps, input.repeats), (30, 0, 0));
    assert!(bench.counter.asked().len() < 20, "no rereading: {} questions", bench.counter.asked().len());
}

/// What is told to the source as progress has taken effect; what is only in hand has not.
pub async fn progress_is_what_took_effect(stores: &dyn Stores) {
    let bench = Bench::new(stores, "progress").await;
    bench.does("k", super::bench::Does::Transient);
    bench.count("k", 1..=3);
    bench.count("other", 1..=3);
    let running = bench.start();
    let lane = usize::from(lane_of("other", LANES));
    running
        .until("the other key is read", |status| {
            status.inputs.first().and_then(|input| input.lanes.get(lane)).is_some_and(|lane| lane.pos.0 == 3)
        })
        .await;
    let lane = Lane(lane_of("k", LANES));
    for asked in bench.counter.asked() {
        assert_eq!(&*asked.reader, NAME);
        for wanted in asked.lanes {
            assert!(wanted.applied <= wanted.pos);
            assert!(wanted.lane != lane || wanted.applied.0 == 0, "nothing of it took effect: {wanted:?}");
        }
    }
}

/// An event that a handler announces is in the trace of the one that it handled, and names it.
pub async fn new_events_name_their_cause(stores: &dyn Stores) {
    let bench = Bench::new(stores, "cause").await;
    let payload = serde_json::to_vec(&Counted { key: "k".to_owned(), n: 7 }).expect("it is JSON");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let headers = format!(r#"{{"traceparent":"00-{trace}-00f067aa0ba902b7-01"}}"#);
    let lane = lane_of("k", LANES);
    bench.counter.append("Counted", "k", lane, payload, &headers);
    let running = bench.start();
    bench.quiet(&running).await;
    let echoes = bench.echoes(1).await;
    let [(key, 7, headers)] = &echoes[..] else { panic!("one echo of 7: {echoes:?}") };
    assert_eq!(key, "k");
    assert!(headers.contains(trace), "{headers}");
    assert!(headers.contains(&format!("10/conformance-counted/{lane}/1")), "{headers}");
}

/// A consumer that is stopped in the middle of its work goes on where it was.
pub async fn a_stop_leaves_nothing_half(stores: &dyn Stores) {
    let bench = Bench::new(stores, "stopped").await;
    for n in 1..=100 {
        (0..10).for_each(|key| bench.count(&format!("k{key}"), [n]));
    }
    for handled in [1, 200, 400] {
        let running = bench.start();
        running
            .until("it has begun", |status| {
                // Before it has read its watermarks it says nothing at all; the other input has nothing to read.
                let counted = &status.inputs[0];
                counted.handled >= handled || (!counted.lanes.is_empty() && counted.unread() == 0)
            })
            .await;
        let stopped = running.stop().await;
        let told: i64 = stopped.status.inputs[0].lanes.iter().map(|lane| lane.pos.0).sum();
        assert_eq!(
            bench.effects().await.len() as i64,
            told,
            "what it says has taken effect, and nothing else"
        );
    }
    let running = bench.start();
    bench.quiet(&running).await;
    bench.assert_once().await;
}
