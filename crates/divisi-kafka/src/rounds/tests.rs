use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

/// Asks sixty-four times while the first question goes on; brings how many were asked and what each heard.
async fn asked(join: Join) -> (usize, Vec<usize>) {
    let rounds = Arc::new(Rounds::new(join));
    let n_asked = Arc::new(AtomicUsize::new(0));
    let (go_on, wait) = mpsc::channel::<()>();
    let (began, begins) = tokio::sync::oneshot::channel();
    let count = Arc::clone(&n_asked);
    let first = rounds.join_or_begin("topic", move || {
        let _ = began.send(());
        let _ = wait.recv();
        Ok(count.fetch_add(1, Ordering::SeqCst))
    });
    begins.await.expect("it begins");
    let mut answers = vec![first];
    for _ in 0..64 {
        let count = Arc::clone(&n_asked);
        answers.push(rounds.join_or_begin("topic", move || Ok(count.fetch_add(1, Ordering::SeqCst))));
    }
    go_on.send(()).expect("it waits");
    let mut heard = Vec::new();
    for mut answer in answers {
        let answer = answer.wait_for(Option::is_some).await.expect("answered").clone();
        heard.push(answer.expect("known").expect("no error"));
    }
    (n_asked.load(Ordering::SeqCst), heard)
}

#[tokio::test]
async fn many_who_ask_share_one_question_that_is_not_older_than_theirs() {
    let (n_asked, heard) = asked(Join::Waiting).await;
    assert_eq!(n_asked, 2);
    assert_eq!(heard[0], 0);
    assert!(heard[1..].iter().all(|answer| *answer == 1));
}

#[tokio::test]
async fn or_the_one_that_goes_on_where_that_is_as_good() {
    let (n_asked, heard) = asked(Join::Running).await;
    assert_eq!((n_asked, heard), (1, vec![0; 65]));
}

#[tokio::test]
async fn a_question_that_panics_is_an_error_and_the_next_one_is_asked() {
    let rounds: Rounds<u8> = Rounds::new(Join::Running);
    let error = rounds.ask("topic", || panic!("on purpose")).await.expect_err("it panicked");
    assert!(matches!(error, CarrierError::Unavailable(_)));
    assert_eq!(rounds.ask("topic", || Ok(7)).await.expect("asked anew"), 7);
}
