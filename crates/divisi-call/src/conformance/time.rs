//! Until when a call is worth its work.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::{CallError, CauseKind, Deadline};

use super::probe::{ProbeClient, Service};
use super::{client, cx, eventually};
use crate::{Place, Served};

/// Long enough for the call to begin, short enough to wait for.
const SOON: Duration = Duration::from_millis(200);

pub(super) async fn a_deadline_that_has_passed_runs_nothing<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let service = Arc::<Service>::default();
    let probe: ProbeClient = client(make, Service::served(&service)).await;
    let error = probe.add(&cx().with_deadline(Deadline::at(crate::now())), 1).await.expect_err("too late");
    assert!(matches!(&error, CallError::NotRun(cause) if cause.kind == CauseKind::DeadlinePassed), "{error}");
    assert_eq!(service.sum(), 0);
}

pub(super) async fn a_deadline_that_passes_ends_the_work<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let service = Arc::<Service>::default();
    let probe: ProbeClient = client(make, Service::served(&service)).await;
    let error =
        probe.wait(&cx().with_deadline(Deadline::after(crate::now(), SOON))).await.expect_err("it waits");
    assert!(error.may_have_run(), "it had begun: {error}");
    assert_eq!(error.cause().map(|cause| cause.kind), Some(CauseKind::DeadlinePassed), "{error}");
    eventually("works that were dropped", &service.dropped, 1).await;
}

pub(super) async fn a_dropped_call_ends_the_work<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let service = Arc::<Service>::default();
    let probe: ProbeClient = client(make, Service::served(&service)).await;
    {
        let cx = cx();
        let call = pin!(probe.wait(&cx));
        tokio::select! {
            answer = call => panic!("it waits for ever, and answered {answer:?}"),
            () = eventually("calls that wait", &service.waiting, 1) => {}
        }
    }
    eventually("works that were dropped", &service.dropped, 1).await;
}
