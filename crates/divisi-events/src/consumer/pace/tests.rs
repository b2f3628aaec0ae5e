use std::iter::{empty, once, repeat_n};
use std::time::Duration;

use tokio::time::Instant;

use super::{MayBegin, Pace};
use crate::consumer::options::{QUICK_FOR, TRANSACTIONS_OF_MANY};

fn after(n_transactions: usize, n_events: u64) -> Pace {
    let mut pace = Pace::default();
    (0..n_transactions).for_each(|_| pace.ended(n_events));
    pace
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
    (0..100).for_each(|_| pace.ended(1));
    assert_eq!(pace.may_begin(empty(), Instant::now()).n, usize::MAX, "{pace:?}");
}
