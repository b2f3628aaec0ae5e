//! The two ways to a service that need no network keep what every way promises.

use std::sync::Arc;

use divisi::CallError;
use divisi::call::dispatch::no_such_method;
use divisi::call::{BoxFuture, Caller, Place, Request, Served, conformance};
use divisi::private::bytes::Bytes;

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
