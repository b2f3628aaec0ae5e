//! A place under a route's limit is given back, however a call ends.

use std::sync::Arc;
use std::time::Duration;

use divisi_call::{Client, Place, Route, now};
use divisi_contract::{Answer, CallError, Context, Deadline};

/// What is called.
#[divisi_macros::contract(crate = divisi_call)]
trait Work {
    /// Never ends.
    async fn never(&self, cx: &Context) -> Answer<()>;
    /// Panics.
    async fn panic(&self, cx: &Context) -> Answer<()>;
    /// Ends at once.
    async fn done(&self, cx: &Context) -> Answer<()>;
}

struct Worker;

impl Work for Worker {
    async fn never(&self, _cx: &Context) -> Answer<()> {
        std::future::pending().await
    }

    async fn panic(&self, _cx: &Context) -> Answer<()> {
        panic!("the worker was asked to panic")
    }

    async fn done(&self, _cx: &Context) -> Answer<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_in_flight_is_given_back_however_a_call_ends() {
    let route = Route::new("work");
    assert!(route.lead_to(Place::Local(vec![WorkClient::serve(Arc::new(Worker), None)])));
    let work = WorkClient::over("tests".into(), Arc::clone(&route));
    let cx = Context::root("tests");
    let in_time = cx.clone().with_deadline(Deadline::after(now(), Duration::from_secs(1)));

    let error = work.never(&in_time).await.expect_err("it never ends");
    assert!(error.may_have_run(), "{error}");
    assert_eq!(route.limit().in_flight(), 0, "after a deadline that passed");

    let dropped = tokio::time::timeout(Duration::from_secs(1), work.never(&cx)).await;
    assert!(dropped.is_err(), "it never ends");
    assert_eq!(route.limit().in_flight(), 0, "after a call that was dropped");

    let error = work.panic(&cx).await.expect_err("it panics");
    assert!(matches!(&error, CallError::MayHaveRun(_)), "{error}");
    assert_eq!(route.limit().in_flight(), 0, "after a panic");

    assert_eq!(work.done(&cx).await, Ok(()));
    assert_eq!(route.limit().in_flight(), 0, "after an answer");
}
