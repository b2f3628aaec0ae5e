//! What stands around a call: context, panics, limits, and what is not there.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::{CallError, CauseKind, Deadline, Trace};

use super::probe::{AbsentClient, ProbeClient, Service, Thing};
use super::{SERVICE, caller, client, client_and_place, cx, eventually};
use crate::limit::Limit;
use crate::{Client, Place, Route, Served};

pub(super) async fn the_callee_sees_who_calls_and_until_when<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    let trace = Trace::root();
    let cx = cx().with_trace(trace);
    let seen = probe.look(&cx).await.expect("the probe looks");
    assert_eq!(seen.caller, caller().as_str());
    assert_eq!(seen.trace_id, trace.trace_id.to_string());
    assert_eq!(seen.left_ms, None, "no deadline was given");

    let cx = cx.with_deadline(Deadline::after(crate::now(), Duration::from_secs(60)));
    let seen = probe.look(&cx).await.expect("the probe looks");
    let left = seen.left_ms.expect("the deadline travels");
    assert!((1..=60_000).contains(&left), "{left} ms are left of 60 s");
}

pub(super) async fn a_panic_hurts_its_own_call_only<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    let error = probe.panic(&cx()).await.expect_err("a panic is not an answer");
    assert!(error.may_have_run(), "nobody knows how far it came: {error}");
    assert_eq!(error.cause().map(|cause| cause.kind), Some(CauseKind::Bug), "{error}");
    assert_eq!(probe.echo(&cx(), Thing::default()).await, Ok(Thing::default()));
}

pub(super) async fn a_contract_that_is_not_served_did_not_run<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let (_, place): (ProbeClient, _) =
        client_and_place(make, Service::served(&Arc::default()), Limit::default()).await;
    let route = Route::new(SERVICE);
    route.lead_to(place);
    let error = AbsentClient::over(caller(), route).call(&cx()).await.expect_err("nobody serves it");
    assert!(matches!(&error, CallError::NotRun(cause) if cause.kind == CauseKind::NoSuchMethod), "{error}");
}

pub(super) async fn a_full_route_refuses_at_once<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let service = Arc::<Service>::default();
    let (probe, _): (ProbeClient, _) = client_and_place(make, Service::served(&service), Limit::new(1)).await;
    let holder = probe.clone();
    let held = tokio::spawn(async move { holder.wait(&cx()).await });
    eventually("calls that wait", &service.waiting, 1).await;
    let error = probe.echo(&cx(), Thing::default()).await.expect_err("there is one place, and it is taken");
    assert!(matches!(&error, CallError::NotRun(cause) if cause.kind == CauseKind::Overloaded), "{error}");
    held.abort();
    assert!(held.await.is_err_and(|error| error.is_cancelled()), "it waited until it was dropped");
    assert_eq!(probe.echo(&cx(), Thing::default()).await, Ok(Thing::default()), "its place is free again");
}
