//! What a caller learns from a call that was sent more than once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use divisi_call::{BoxFuture, Caller, Client, Place, Request, Route};
use divisi_contract::{Answer, CallError, CauseKind, Context, codec};

/// What is called.
#[allow(dead_code, reason = "only its client is used")]
#[divisi_macros::contract(crate = divisi_call)]
trait Counters {
    /// Sets a counter.
    #[call(idempotent)]
    async fn set(&self, cx: &Context, to: u64) -> Answer<u64>;
    /// Adds to a counter.
    async fn add(&self, cx: &Context, by: u64) -> Answer<u64>;
}

type Outcome = Result<Bytes, CallError<Bytes>>;

/// Answers with one outcome after another.
struct Script(Mutex<VecDeque<Outcome>>);

impl Script {
    fn left(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Caller for Script {
    fn call<'a>(&'a self, _: Request<'a>) -> BoxFuture<'a, Outcome> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        Box::pin(async move { next.expect("no call beyond the script") })
    }
}

fn cut() -> Outcome {
    Err(CallError::unknown(CauseKind::Disconnected, "the connection ended before the answer came"))
}

fn unreachable() -> Outcome {
    Err(CallError::not_run(CauseKind::Unreachable, "nobody is there"))
}

fn counters(script: impl IntoIterator<Item = Outcome>) -> (CountersClient, Arc<Script>) {
    let script = Arc::new(Script(Mutex::new(script.into_iter().collect())));
    let route = Route::new("counters");
    assert!(route.lead_to(Place::Remote(Arc::clone(&script) as _)), "the route is new");
    (CountersClient::over("tests".into(), route), script)
}

fn cx() -> Context {
    Context::root("tests")
}

#[tokio::test(start_paused = true)]
async fn a_try_that_did_not_run_does_not_excuse_one_that_may_have() {
    let later = [
        unreachable(),
        Err(CallError::not_run(CauseKind::Overloaded, "too much to do")),
        Err(CallError::not_run(
            CauseKind::DeadlinePassed,
            "the deadline had passed before the call was sent",
        )),
        Err(CallError::not_run(CauseKind::Store, "the disk is full")),
        Err(CallError::Refused(Bytes::from_static(b"a refusal that is not known"))),
    ];
    for last in later {
        let (counters, script) = counters([cut(), last.clone(), unreachable()]);
        let error = counters.set(&cx(), 1).await.expect_err("no try brought an answer");
        assert!(
            error.may_have_run(),
            "the first try may have run, and the second ended in {last:?}: {error}"
        );
        assert!(script.left() <= 1, "it was sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_left_did_not_run_however_often_it_was_tried() {
    let (counters, script) = counters([unreachable(), unreachable(), unreachable()]);
    let error = counters.set(&cx(), 1).await.expect_err("nobody is there");
    assert!(matches!(&error, CallError::NotRun(cause) if cause.kind == CauseKind::Unreachable), "{error}");
    assert_eq!(script.left(), 0, "it was tried three times");
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_later_try_is_the_answer() {
    let (counters, _) = counters([cut(), unreachable(), Ok(codec::encode(&1_u64).expect("a number"))]);
    assert_eq!(counters.set(&cx(), 1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_must_not_run_twice_is_sent_once() {
    let (counters, script) = counters([cut(), unreachable()]);
    let error = counters.add(&cx(), 1).await.expect_err("it was cut");
    assert!(error.may_have_run(), "{error}");
    assert_eq!(script.left(), 1, "it was sent once");
}
