//! The two ways to a service that need no network keep what every way promises.

use std::sync::Arc;

use divisi::call::dispatch::no_such_method;
use divisi::call::{BoxFuture, Caller, Place, Request, Served, conformance};
use divisi::contract::CauseKind;
use divisi::private::bytes::Bytes;
use divisi::{CallError, Context};

/// Carries calls as bytes to services in the same process.
struct AsBytes(Vec<Served>);

impl Caller for AsBytes {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Bytes, CallError<Bytes>>> {
        let call = request.call;
        let served = self.0.iter().find(|served| {
            served.contract().name == call.contract && served.contract().version == call.version
        });
        match served {
            Some(served) => {
                Arc::clone(served.dispatch()).dispatch(call.method, request.cx.clone(), request.arguments)
            }
            None => Box::pin(async move { Err(no_such_method(call.contract, call.method)) }),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_this_process_keeps_every_promise() {
    conformance::caller_suite(async |served| Place::Local(served)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_behind_bytes_keeps_every_promise() {
    conformance::caller_suite(async |served| Place::Remote(Arc::new(AsBytes(served)))).await;
}

/// A way to a service that breaks one promise.
struct Faulty {
    way: AsBytes,
    fault: Fault,
}

#[derive(Clone, Copy)]
enum Fault {
    /// The deadline does not travel.
    ForgetsTheDeadline,
    /// The idempotency key does not travel.
    ForgetsTheKey,
    /// A refusal comes back as trouble.
    HidesRefusals,
    /// What may have run is said not to have run.
    Reassures,
}

impl Caller for Faulty {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Bytes, CallError<Bytes>>> {
        let Faulty { way, fault } = self;
        Box::pin(async move {
            let bare = Context::root(request.cx.caller()).with_trace(request.cx.trace());
            let cx = match (fault, request.cx.idempotency_key()) {
                (Fault::ForgetsTheDeadline, Some(key)) => bare.with_key(key),
                (Fault::ForgetsTheDeadline, None) => bare,
                (Fault::ForgetsTheKey, _) => bare.with_deadline(request.cx.deadline()),
                (Fault::HidesRefusals | Fault::Reassures, _) => request.cx.clone(),
            };
            match (fault, way.call(Request { cx: &cx, ..request }).await) {
                (Fault::HidesRefusals, Err(CallError::Refused(_))) => {
                    Err(CallError::not_run(CauseKind::Unknown, "no"))
                }
                (Fault::Reassures, Err(CallError::MayHaveRun(cause))) => Err(CallError::NotRun(cause)),
                (_, answer) => answer,
            }
        })
    }
}

async fn faulty(fault: Fault) {
    conformance::caller_suite(async |served| Place::Remote(Arc::new(Faulty { way: AsBytes(served), fault })))
        .await;
}

#[tokio::test]
#[should_panic(expected = "the deadline travels")]
async fn the_suite_notices_a_lost_deadline() {
    faulty(Fault::ForgetsTheDeadline).await;
}

#[tokio::test]
#[should_panic(expected = "the kept answer")]
async fn the_suite_notices_a_lost_key() {
    faulty(Fault::ForgetsTheKey).await;
}

#[tokio::test]
#[should_panic(expected = "Refused(NoSuchThing)")]
async fn the_suite_notices_a_hidden_refusal() {
    faulty(Fault::HidesRefusals).await;
}

#[tokio::test]
#[should_panic(expected = "nobody knows how far it came")]
async fn the_suite_notices_a_false_reassurance() {
    faulty(Fault::Reassures).await;
}
