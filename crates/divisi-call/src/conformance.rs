//! What every way to a service promises, as one body of tests: in process and over a network alike.

mod answers;
mod around;
mod keys;
mod probe;
mod time;
mod versions;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::{Context, ServiceName};
use tokio::sync::watch;

use crate::limit::Limit;
use crate::{Client, Place, Route, Served};

/// The service that the suite calls.
pub const SERVICE: &str = "conformance";

/// How long the suite waits for what must happen, before it says that it did not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Holds a way to a service against everything that callers rely on; panics at the first promise that is broken.
///
/// `make` starts a service that is called [`SERVICE`] and serves exactly what it is given, and says where it is. It
/// is asked once a promise, so that none sees what another one left behind. What it starts is its own to keep running
/// until the suite is over. The clock must not be paused: the suite has deadlines of its own.
pub async fn caller_suite<M, F>(make: M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let make = &make;
    answers::an_answer_comes_back_as_it_was_given(make).await;
    answers::a_refusal_comes_back_as_it_was_given(make).await;
    answers::broken_rules_come_back_all_of_them(make).await;
    answers::calls_at_the_same_time_get_their_own_answers(make).await;
    answers::a_large_argument_comes_through(make).await;
    around::the_callee_sees_who_calls_and_until_when(make).await;
    around::a_panic_hurts_its_own_call_only(make).await;
    around::a_contract_that_is_not_served_did_not_run(make).await;
    around::a_full_route_refuses_at_once(make).await;
    time::a_deadline_that_has_passed_runs_nothing(make).await;
    time::a_deadline_that_passes_ends_the_work(make).await;
    time::a_dropped_call_ends_the_work(make).await;
    keys::a_repeated_key_brings_the_first_answer(make).await;
    keys::a_key_with_other_arguments_is_refused(make).await;
    keys::without_a_key_every_call_runs(make).await;
    keys::a_key_stays_with_keyed_methods(make).await;
    versions::an_older_caller_talks_to_a_newer_callee(make).await;
    versions::a_newer_caller_talks_to_an_older_callee(make).await;
    versions::a_refusal_unknown_to_an_older_caller_changed_nothing(make).await;
}

/// A client of `served`, wherever `make` puts it.
async fn client<C, M, F>(make: &M, served: Served) -> C
where
    C: Client,
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let (client, _) = client_and_place(make, served, Limit::default()).await;
    client
}

async fn client_and_place<C, M, F>(make: &M, served: Served, limit: Limit) -> (C, Place)
where
    C: Client,
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let place = make(vec![served]).await;
    let route = Route::with_limit(SERVICE, limit);
    assert!(route.lead_to(place.clone()), "the route is new");
    (C::over(caller(), Arc::clone(&route)), place)
}

/// Who calls.
fn caller() -> ServiceName {
    ServiceName::from("suite")
}

fn cx() -> Context {
    Context::root(caller())
}

/// Waits until `count` is `wanted`, and fails with what it last was.
async fn eventually(what: &str, count: &watch::Sender<usize>, wanted: usize) {
    let mut seen = count.subscribe();
    let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|count| *count == wanted)).await;
    assert!(
        matches!(waited, Ok(Ok(_))),
        "{what}: {wanted} were expected, {} were seen after {PATIENCE:?}",
        *count.borrow()
    );
}
