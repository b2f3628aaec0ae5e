use std::time::Duration;

use tokio::time::{Instant, advance};

use super::{Breaker, PauseOptions};

fn park(breaker: &Breaker) -> bool {
    let mut permits = breaker.permits();
    let taken = permits.take();
    permits.keep();
    taken
}

#[tokio::test(start_paused = true)]
async fn twenty_keys_are_parked_and_the_next_one_pauses() {
    let breaker = Breaker::new(PauseOptions::default());
    assert!((0..20).all(|_| park(&breaker)));
    assert!(!park(&breaker));
}

#[tokio::test(start_paused = true)]
async fn what_was_parked_more_than_a_window_ago_does_not_count() {
    let breaker = Breaker::new(PauseOptions::default());
    assert!((0..20).all(|_| park(&breaker)));
    advance(Duration::from_secs(59)).await;
    assert!(!park(&breaker));
    advance(Duration::from_secs(1)).await;
    assert!(park(&breaker));
}

#[tokio::test(start_paused = true)]
async fn a_share_counts_only_among_enough_events() {
    let options = PauseOptions { keys_max: 1_000, ..PauseOptions::default() };
    let breaker = Breaker::new(options);
    breaker.handled(399, Instant::now());
    assert!((0..30).all(|_| park(&breaker)), "a share of few events says nothing");
    let breaker = Breaker::new(options);
    breaker.handled(400, Instant::now());
    assert!((0..19).all(|_| park(&breaker)));
    assert!(!park(&breaker), "the twentieth is 5 % of 400");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_did_not_happen_gives_its_leave_back() {
    let breaker = Breaker::new(PauseOptions::default());
    for _ in 0..100 {
        assert!(breaker.permits().take());
    }
    assert!((0..20).all(|_| park(&breaker)));
    assert!(!park(&breaker));
    breaker.reset();
    assert!(park(&breaker), "an operator has resumed");
}
