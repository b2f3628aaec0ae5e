use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use divisi_contract::{CallError, CauseKind, Deadline, NoRefusal};

use super::Calling;
use crate::limit::Limit;

type Answer = Result<u32, CallError<NoRefusal>>;

fn poll_once(calling: &mut Calling<'_, u32, NoRefusal>) -> Poll<Answer> {
    Pin::new(calling).poll(&mut Task::from_waker(Waker::noop()))
}

#[test]
fn a_call_that_is_kept_after_its_answer_keeps_no_place() {
    let limit = Limit::new(1);
    let place = limit.enter::<NoRefusal>("shop").unwrap();
    let mut calling = Calling::local(place, Deadline::NEVER, Box::pin(async { Ok(7) }));
    assert_eq!(limit.in_flight(), 1);
    assert_eq!(poll_once(&mut calling), Poll::Ready(Ok(7)));
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn a_call_that_is_dropped_gives_its_place_back() {
    let limit = Limit::new(1);
    let place = limit.enter::<NoRefusal>("shop").unwrap();
    let mut calling: Calling<'_, u32, NoRefusal> = Calling::remote(place, Box::pin(pending()));
    assert!(poll_once(&mut calling).is_pending());
    assert_eq!(limit.in_flight(), 1);
    drop(calling);
    assert_eq!(limit.in_flight(), 0);
}

#[tokio::test]
async fn a_handler_that_is_always_busy_ends_at_its_deadline() {
    let limit = Limit::new(1);
    let place = limit.enter::<NoRefusal>("shop").unwrap();
    let deadline = Deadline::after(crate::now(), Duration::from_millis(5));
    // Uses up what the runtime grants its task in each poll, and wants more.
    let busy = poll_fn(|task| {
        while pin!(tokio::task::consume_budget()).poll(task).is_ready() {}
        Poll::Pending
    });
    let error = Calling::<u32, NoRefusal>::local(place, deadline, Box::pin(busy)).await.unwrap_err();
    let CallError::MayHaveRun(cause) = error else { panic!("it ran: {error:?}") };
    assert_eq!(cause.kind, CauseKind::DeadlinePassed);
}
