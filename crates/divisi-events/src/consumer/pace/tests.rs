use std::iter::{empty, once, repeat_n};
use std::time::Duration;

use tokio::time::Instant;

use super::{MayBegin, Pace};
use crate::consumer::options::{QUICK_FOR, TRANSACTIONS_OF_MANY};

fn after(n_transactions: usize, n_events: u64) -> Pace {
    let mut pace = Pace::default();
    more(&mut pace, n_transactions, n_events);
    pace
}

fn more(pace: &mut Pace, n_transactions: usize, n_events: u64) {
    (0..n_transactions).for_each(|_| pace.ended(n_events, Instant::now()));
}

fn is_held_back(pace: &Pace) -> bool {
    pace.may_begin(empty(), Instant::now()).n == TRANSACTIONS_OF_MANY
}

#[test]
fn whoever_has_an_event_or_two_waits_for_nobody() {
    let now = Instant::now();
    for pace in [Pace::default(), after(1_000, 2), after(1, 100)] {
        assert_eq!(pace.may_begin(repeat_n(now, 11), now).n, usize::MAX, "{pace:?}");
    }
}

#[test]
fn few_are_under_way_while_each_has_many() {
    let now = Instant::now();
    let pace = after(100, 20);
    assert_eq!(pace.may_begin(empty(), now), MayBegin { n: TRANSACTIONS_OF_MANY, next: now + QUICK_FOR });
    let one = now - Duration::from_millis(5);
    let begin = pace.may_begin(once(one).chain(repeat_n(now, 2)), now);
    assert_eq!(begin, MayBegin { n: TRANSACTIONS_OF_MANY - 3, next: one + QUICK_FOR });
    assert_eq!(pace.may_begin(repeat_n(now, 30), now).n, 0, "begun before it was known");
}

#[test]
fn one_that_waits_for_something_is_in_nobodys_way() {
    let now = Instant::now();
    let slow = now - QUICK_FOR;
    let begin = after(100, 20).may_begin(repeat_n(slow, 8).chain(repeat_n(now, 3)), now);
    assert_eq!(begin, MayBegin { n: TRANSACTIONS_OF_MANY - 3, next: now + QUICK_FOR });
}

#[test]
fn what_becomes_less_is_noticed() {
    let mut pace = after(1_000, 100);
    more(&mut pace, 100, 1);
    assert!(!is_held_back(&pace), "{pace:?}");
}

/// At a load where few at a time have nine events each, many at a time have three: a backlog that is over does not hold back what follows.
#[test]
fn a_load_that_would_not_be_held_back_by_itself_is_not_after_a_backlog() {
    let mut pace = after(1_000, 100);
    assert!(is_held_back(&pace));
    let n_larger = (0..200).position(|_| {
        more(&mut pace, 1, 9);
        !is_held_back(&pace)
    });
    assert!(n_larger.is_some(), "{pace:?}");
    more(&mut pace, 200, 3);
    assert!(!is_held_back(&pace), "{pace:?}");
}

#[test]
fn a_load_of_before_a_rest_is_forgotten() {
    let mut pace = after(1_000, 100);
    pace.ended(1, Instant::now() + Duration::from_secs(2));
    assert!(!is_held_back(&pace), "{pace:?}");
}
