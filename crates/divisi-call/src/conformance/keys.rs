//! What an idempotency key promises.

use std::future::Future;
use std::sync::Arc;

use divisi_contract::{CallError, CauseKind};

use super::probe::{ProbeClient, Service};
use super::{client, cx};
use crate::{Place, Served};

pub(super) async fn a_repeated_key_brings_the_first_answer<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let service = Arc::<Service>::default();
    let probe: ProbeClient = client(make, Service::served(&service)).await;
    let cx = cx().with_key("order-17");
    assert_eq!(probe.add(&cx, 5).await, Ok(5));
    assert_eq!(probe.add(&cx, 5).await, Ok(5), "the kept answer");
    assert_eq!(service.sum(), 5, "it ran once");
    assert_eq!(probe.add(&super::cx().with_key("order-18"), 5).await, Ok(10), "another key is another call");
}

pub(super) async fn a_key_with_other_arguments_is_refused<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let service = Arc::<Service>::default();
    let probe: ProbeClient = client(make, Service::served(&service)).await;
    let cx = cx().with_key("order-17");
    assert_eq!(probe.add(&cx, 5).await, Ok(5));
    let error = probe.add(&cx, 6).await.expect_err("the key was for 5");
    assert!(matches!(&error, CallError::NotRun(cause) if cause.kind == CauseKind::KeyReused), "{error}");
    assert_eq!(service.sum(), 5);
}

pub(super) async fn without_a_key_every_call_runs<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    assert_eq!(probe.add(&cx(), 5).await, Ok(5));
    assert_eq!(probe.add(&cx(), 5).await, Ok(10));
}

pub(super) async fn a_key_stays_with_keyed_methods<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    let seen = probe.look(&cx().with_key("order-17")).await.expect("the probe looks");
    assert_eq!(seen.key, None, "the method is not keyed");
}
