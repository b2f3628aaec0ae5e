//! What comes back.

use std::future::Future;
use std::sync::Arc;

use divisi_contract::{CallError, Invalid};
use tokio::task::JoinSet;

use super::probe::{ProbeClient, ProbeRefused, Service, Shape, Thing};
use super::{client, cx};
use crate::{Place, Served};

/// How many calls are made at the same time.
const CALLS: u64 = 200;
/// How long a large argument is.
const LARGE: usize = 256 * 1024;

pub(super) async fn an_answer_comes_back_as_it_was_given<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    let inner = Thing { shape: Shape::Box { width: 1, height: u32::MAX }, ..Thing::default() };
    let thing = Thing {
        text: "grüße \u{1F980} \0 \"quoted\"".to_owned(),
        largest: u64::MAX,
        smallest: i64::MIN,
        real: f64::MIN_POSITIVE,
        nothing: None,
        something: Some(Box::new(inner)),
        by_name: [(String::new(), vec![0, 255]), ("a".to_owned(), Vec::new())].into(),
        shape: Shape::Circle(-0.5),
        unit: (),
    };
    assert_eq!(probe.echo(&cx(), thing.clone()).await, Ok(thing));
}

pub(super) async fn a_refusal_comes_back_as_it_was_given<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    for refusal in [ProbeRefused::NoSuchThing, ProbeRefused::TooLarge { thing: "the hat".to_owned(), by: 3 }]
    {
        assert_eq!(probe.refuse(&cx(), refusal.clone()).await, Err(CallError::Refused(refusal)));
    }
}

pub(super) async fn broken_rules_come_back_all_of_them<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    let invalid = Invalid::none()
        .unless(false, "name", "is wrong")
        .unless(false, "age", "is wrong")
        .done()
        .unwrap_err();
    let answer = probe.check(&cx(), vec!["name".to_owned(), "age".to_owned()]).await;
    assert_eq!(answer, Err(CallError::Refused(ProbeRefused::Invalid(invalid))));
    assert_eq!(probe.check(&cx(), Vec::new()).await, Ok(()));
}

pub(super) async fn calls_at_the_same_time_get_their_own_answers<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    let mut calls = JoinSet::new();
    for n in 0..CALLS {
        let probe = probe.clone();
        calls.spawn(async move {
            let thing = Thing { largest: n, ..Thing::default() };
            (n, probe.echo(&cx(), thing).await.map(|thing| thing.largest))
        });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.len() as u64, CALLS);
    for (n, answer) in answers {
        assert_eq!(answer, Ok(n));
    }
}

pub(super) async fn a_large_argument_comes_through<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let probe: ProbeClient = client(make, Service::served(&Arc::default())).await;
    let thing = Thing { text: "x".repeat(LARGE), ..Thing::default() };
    let answer = probe.echo(&cx(), thing).await.map(|thing| thing.text.len());
    assert_eq!(answer, Ok(LARGE));
}
