//! An event that cannot be applied: its key stands aside, everything else goes on.

use divisi_contract::Event;
use divisi_contract::event::{LANES, lane_of};
use divisi_store::parked::{State, unreadable_key};
use divisi_store::{Lane, Stores};

use super::bench::{Bench, COUNTER, Counted, Does};
use super::faulty::Cut;
use crate::consumer::ParkedError;

/// A broken rule parks the key and keeps its later events in order; keys beside it in the same lane go on.
pub async fn a_poisonous_event_parks_its_key_alone(stores: &dyn Stores) {
    let bench = Bench::new(stores, "poison").await;
    let neighbour = neighbour_of("bad");
    bench.does("bad", Does::Permanent);
    let running = bench.start();
    for n in 1..=20 {
        bench.count("bad", [n]);
        bench.count(&neighbour, [n]);
    }
    bench.quiet(&running).await;
    assert_eq!(bench.effects_of(&neighbour).await, (1..=20).collect::<Vec<_>>(), "its lane goes on");
    assert_eq!(bench.effects_of("bad").await, [0_i64; 0], "what its handler did was undone");
    assert!(bench.echoes(20).await.iter().all(|(key, _, _)| key != "bad"), "what it announced, too");
    running.until_parked((0, 0, 1, 20)).await;
    let list = running.parked.list(10).await.expect("a list");
    let [parked] = &list[..] else { panic!("one key: {list:?}") };
    assert_eq!((parked.key.as_str(), parked.why.state, parked.n_events), ("bad", State::Dead, 20));
    assert_eq!(parked.why.reason, "a rule is broken");
}

/// Five attempts of what is not known to pass, a panic, a wait in vain, too large an event, a statement that was sent and refused: all end as a
/// parked key, and no other with it.
pub async fn every_way_to_fail_ends_as_one_parked_key(stores: &dyn Stores) {
    let bench = Bench::new(stores, "failures").await;
    let ways = [
        Does::Unclassified,
        Does::Panic,
        Does::EmitTooMuch,
        Does::Permanent,
        Does::Send,
        Does::SendUnheard,
        Does::Wait,
    ];
    let waits = bench.store.backend().suspends();
    let ways = ways.into_iter().filter(|does| *does != Does::Wait || !waits);
    let running = bench.start();
    let mut n_dead = 0;
    for (n, does) in (0..).zip(ways) {
        let key = format!("bad{n}");
        bench.does(&key, does);
        bench.count(&key, [1, 2]);
        bench.count(&neighbour_of(&key), [1, 2]);
        n_dead += 1;
    }
    bench.quiet(&running).await;
    running.until_parked((0, 0, n_dead, 2 * n_dead)).await;
    let calls = bench.calls("bad0");
    // And again after a race with another lane, where transactions meet and are strict.
    let most = if waits { 14 } else { 6 };
    assert!((5..=most).contains(&calls), "five attempts, one of them again with care: {calls}");
    for (n, _) in (0..n_dead).enumerate() {
        assert_eq!(bench.effects_of(&neighbour_of(&format!("bad{n}"))).await, [1, 2]);
        assert_eq!(bench.effects_of(&format!("bad{n}")).await, [0_i64; 0]);
    }
}

/// Bytes that are no event, and events of a newer shape.
pub async fn what_cannot_be_decoded_is_parked(stores: &dyn Stores) {
    let bench = Bench::new(stores, "undecodable").await;
    let lane = lane_of("bad", LANES);
    bench.counter.append(Counted::NAME, "bad", lane, b"\xff\x00 no JSON".to_vec(), "no JSON either");
    bench.counter.append("Unheard", "bad", lane, Vec::new(), "{}");
    bench.count("good", [1]);
    let running = bench.start();
    bench.quiet(&running).await;
    running.until_parked((0, 0, 1, 1)).await;
    assert_eq!(bench.effects_of("good").await, [1]);
    let reason = running.parked.list(1).await.expect("a list").remove(0).why.reason;
    assert!(reason.contains("cannot be decoded"), "{reason}");
}

/// A key that cannot belong to its lane is not trusted.
pub async fn a_key_that_cannot_be_read_parks_its_lane_alone(stores: &dyn Stores) {
    let bench = Bench::new(stores, "unreadable").await;
    let lane = lane_of("good", LANES);
    let payload = serde_json::to_vec(&Counted { key: "good".to_owned(), n: 1 }).expect("it is JSON");
    let key = (0..).map(|n| format!("k{n}")).find(|key| lane_of(key, LANES) != lane).expect("most keys");
    bench.counter.append(Counted::NAME, &key, lane, payload, "{}");
    bench.count("good", [2]);
    let running = bench.start();
    bench.quiet(&running).await;
    running.until_parked((0, 0, 1, 1)).await;
    assert_eq!(running.parked.list(1).await.expect("a list").remove(0).key, unreadable_key(Lane(lane)));
    assert_eq!(bench.effects_of("good").await, [2]);
    let dropped = running.parked.drop(COUNTER, Counted::TOPIC, &unreadable_key(Lane(lane))).await;
    assert_eq!(dropped.expect("it is parked"), 1);
}

/// A commit that fails takes the parked event back with the watermark; then both happen.
pub async fn parking_and_watermark_are_one_transaction(stores: &dyn Stores) {
    let bench = Bench::new(stores, "atomic").await;
    bench.does("bad", Does::Permanent);
    let running = bench.start();
    bench.count("other", [1]);
    bench.quiet(&running).await;
    for (n, cut) in (1..).zip([Cut::Commit, Cut::LostBefore, Cut::LostAfter]) {
        bench.faults.cut(&[cut, cut]);
        bench.count("bad", [n]);
        bench.quiet(&running).await;
        running.until_parked((0, 0, 1, n)).await;
    }
}

/// A redrive runs the key's events in order, each once, and then lives on.
pub async fn a_redrive_runs_in_order(stores: &dyn Stores) {
    let mut bench = Bench::new(stores, "redrive").await;
    bench.options.batch_events_max = 7;
    bench.does("bad", Does::Permanent);
    let running = bench.start();
    bench.count("bad", 1..=30);
    bench.quiet(&running).await;
    running.until_parked((0, 0, 1, 30)).await;
    running.parked.redrive(COUNTER, Counted::TOPIC, "bad").await.expect("it is parked");
    running.until_parked((0, 0, 1, 30)).await;
    bench.does("bad", Does::Apply);
    bench.count("bad", 31..=35);
    running.parked.redrive(COUNTER, Counted::TOPIC, "bad").await.expect("it is parked");
    running.until_parked((0, 0, 0, 0)).await;
    bench.count("bad", 36..=40);
    bench.quiet(&running).await;
    bench.assert_once().await;
    running.until("each was counted once", |status| status.inputs[0].handled == 40).await;
    let again = running.parked.redrive(COUNTER, Counted::TOPIC, "bad").await;
    assert!(matches!(again, Err(ParkedError::NotParked { .. })), "{again:?}");
}

/// What passes is no attempt: a parked key that meets it is tried for ever, and has all its attempts when it is over.
pub async fn trouble_that_passes_never_makes_a_parked_key_dead(stores: &dyn Stores) {
    let bench = Bench::new(stores, "passing").await;
    let attempts = bench.options.attempts_max;
    bench.does("bad", Does::Permanent);
    let running = bench.start();
    bench.count("bad", 1..=3);
    bench.quiet(&running).await;
    running.until_parked((0, 0, 1, 3)).await;
    bench.does("bad", Does::Transient);
    running.parked.redrive(COUNTER, Counted::TOPIC, "bad").await.expect("it is parked");
    let often = bench.calls("bad") + 2 * attempts;
    super::bench::eventually("it is tried", async || bench.calls("bad"), |calls| *calls > often).await;
    running.until_parked((0, 1, 0, 3)).await;
    let before = bench.calls("bad");
    bench.does("bad", Does::Unclassified);
    running.until_parked((0, 0, 1, 3)).await;
    let calls = bench.calls("bad") - before;
    assert!(calls >= attempts, "{calls} of {attempts} attempts");
    bench.does("bad", Does::Apply);
    running.parked.redrive(COUNTER, Counted::TOPIC, "bad").await.expect("it is parked");
    running.until_parked((0, 0, 0, 0)).await;
    bench.assert_once().await;
}

/// What is dropped is gone, and the key goes on with what comes next.
pub async fn a_dropped_key_goes_on(stores: &dyn Stores) {
    let bench = Bench::new(stores, "dropped").await;
    bench.does("bad", Does::Permanent);
    let running = bench.start();
    bench.count("bad", 1..=3);
    bench.quiet(&running).await;
    bench.does("bad", Does::Apply);
    assert_eq!(running.parked.drop(COUNTER, Counted::TOPIC, "bad").await.expect("it is parked"), 3);
    bench.count("bad", [4]);
    bench.quiet(&running).await;
    assert_eq!(bench.effects_of("bad").await, [4]);
    running.until_parked((0, 0, 0, 0)).await;
}

/// When everything fails, no more than twenty keys are parked; what is paused goes on when it works again.
pub async fn a_bad_deployment_pauses_instead_of_parking(stores: &dyn Stores) {
    let bench = Bench::new(stores, "deployment").await;
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    keys.iter().for_each(|key| bench.does(key, Does::Permanent));
    keys.iter().for_each(|key| bench.count(key, [1]));
    let running = bench.start();
    let lanes = bench.counter.heads();
    running
        .until("every lane has read all or is paused", |status| {
            let Some(input) = status.inputs.first() else { return false };
            lanes.iter().all(|(lane, head)| {
                input.paused().any(|paused| paused == *lane)
                    || input.lanes.get(usize::from(lane.0)).is_some_and(|lane| lane.pos == *head)
            })
        })
        .await;
    let counts = running.parked.counts().await.expect("counts");
    assert_eq!(counts.dead, 20, "no more than that, of {}", keys.len());
    assert_eq!(bench.effects().await.len(), 0);
    keys.iter().for_each(|key| bench.does(key, Does::Apply));
    bench.quiet(&running).await;
    for parked in running.parked.list(100).await.expect("a list") {
        running.parked.redrive(COUNTER, Counted::TOPIC, &parked.key).await.expect("it is parked");
    }
    running.until_parked((0, 0, 0, 0)).await;
    bench.assert_once().await;
}

/// A paused lane tries its next event now and then, parks nothing, and an operator can resume it.
pub async fn a_lane_on_trial_goes_on_at_the_first_success(stores: &dyn Stores) {
    let mut bench = Bench::new(stores, "trial").await;
    bench.options.pause.keys_max = 0;
    bench.does("bad", Does::Permanent);
    bench.count("bad", 1..=5);
    let running = bench.start();
    let lane = Lane(lane_of("bad", LANES));
    let paused = |status: &crate::consumer::ConsumerStatus| {
        status.inputs.first().is_some_and(|input| input.paused().any(|paused| paused == lane))
    };
    running.until("it pauses", paused).await;
    let calls = bench.calls("bad");
    super::bench::eventually("it is tried", async || bench.calls("bad"), |now| *now > calls + 2).await;
    running.until_parked((0, 0, 0, 0)).await;
    assert!(running.observer.resume(COUNTER, Counted::TOPIC, lane));
    assert!(!running.observer.resume(COUNTER, "no such topic", lane));
    running.until("it pauses again: no key may be parked at all", paused).await;
    bench.does("bad", Does::Apply);
    bench.quiet(&running).await;
    bench.assert_once().await;
    running.until("it is not paused any more", |status| !paused(status)).await;
}

/// Another key of the same lane.
fn neighbour_of(key: &str) -> String {
    let lane = lane_of(key, LANES);
    (0..)
        .map(|n| format!("{key}-neighbour-{n}"))
        .find(|other| lane_of(other, LANES) == lane)
        .expect("one in 64")
}
