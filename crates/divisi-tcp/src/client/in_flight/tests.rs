use std::collections::HashMap;

use super::*;

fn waiting(end: u64) -> Waiting {
    Waiting { waker: Waker::noop().clone(), deadline: Deadline::NEVER, end }
}

fn answer(n: u64) -> Outcome {
    Ok(Bytes::copy_from_slice(&n.to_be_bytes()))
}

#[test]
fn a_late_answer_never_reaches_who_has_the_place_now() {
    let mut calls = InFlight::default();
    let first = calls.next_id();
    calls.insert(waiting(0));
    assert!(calls.abandon(first));
    let second = calls.next_id();
    calls.insert(waiting(0));
    assert_ne!(first, second);
    assert!(calls.complete(first, answer(1)).is_none(), "nobody waits for it");
    assert!(calls.poll(second, Waker::noop()).is_pending());
    assert!(calls.complete(second, answer(2)).is_some());
    assert!(calls.complete(second, answer(3)).is_none(), "the first answer counts");
    assert_eq!(calls.poll(second, Waker::noop()), Poll::Ready(answer(2)));
}

#[test]
fn ids_that_a_peer_makes_up_find_nobody() {
    let mut calls = InFlight::default();
    let id = calls.next_id();
    calls.insert(waiting(0));
    for made_up in [0, 1, id + 1, id | 1 << 63, u64::MAX] {
        assert!(calls.complete(made_up, answer(1)).is_none(), "{made_up:#x}");
        assert!(!calls.abandon(made_up), "{made_up:#x}");
    }
    assert_eq!(calls.waiting(), 1);
}

#[test]
fn any_order_of_events_gives_each_call_its_own_answer() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut calls, mut open, mut over) = (InFlight::default(), Vec::new(), HashMap::new());
        for _ in 0..300 {
            match random.u8(..4) {
                0 if open.len() < 50 => {
                    let id = calls.next_id();
                    calls.insert(waiting(0));
                    assert!(id != 0 && !open.contains(&id) && !over.contains_key(&id), "seed {seed}");
                    open.push(id);
                }
                1 if !open.is_empty() => {
                    let id = open.swap_remove(random.usize(..open.len()));
                    assert!(calls.complete(id, answer(id)).is_some(), "seed {seed}");
                    over.insert(id, answer(id));
                }
                2 if !open.is_empty() => {
                    let id = open.swap_remove(random.usize(..open.len()));
                    assert!(calls.abandon(id), "seed {seed}");
                }
                _ => {
                    if let Some(id) = over.keys().next().copied() {
                        let expected = over.remove(&id).map_or(Poll::Pending, Poll::Ready);
                        assert_eq!(calls.poll(id, Waker::noop()), expected, "seed {seed}");
                    }
                }
            }
            assert_eq!(calls.waiting(), open.len(), "seed {seed}");
        }
        assert!(calls.places.len() <= 100, "places are used again; seed {seed}");
    }
}
