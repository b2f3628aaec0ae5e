//! What a generated client stands on.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use divisi_contract::{
    CallError, CauseKind, Context, Contract, KeptAnswers, Refusal, Repeat, ServiceName, codec,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caller::{Call, Caller, Request};
use crate::calling::Calling;
use crate::dispatch::{Served, came_back_malformed, malformed};
use crate::limit::InFlight;
use crate::retry::Retry;
use crate::route::{Place, Route};
use crate::{BoxFuture, in_process};

/// A generated client of one contract.
pub trait Client: Clone + Send + Sync + 'static {
    /// The contract as data.
    fn contract() -> &'static Contract;
    /// A client for `caller`, over `route`.
    fn over(caller: ServiceName, route: Arc<Route>) -> Self;
}

/// A client whose contract `S` implements: how a service says what it serves.
pub trait Serves<S>: Client {
    /// Serves the contract with `service`; see the generated client's `serve`.
    fn served(service: Arc<S>, answers: Option<Arc<dyn KeptAnswers>>) -> Served;
}

/// The way from one caller to one contract: `L` is the contract's object-safe twin. Cheap to clone.
pub struct Link<L: ?Sized>(Arc<Inner<L>>);

struct Inner<L: ?Sized> {
    caller: ServiceName,
    contract: &'static str,
    route: Arc<Route>,
    local: OnceLock<Arc<L>>,
}

/// Where a call goes, found anew for each one.
pub enum Way<'a, L: ?Sized> {
    /// To a service in this process; the place under its limit is held for as long as the call takes.
    Local(&'a Arc<L>, InFlight<'a>),
    /// To a service elsewhere.
    Remote(&'a Arc<dyn Caller>, InFlight<'a>),
}

impl<L: ?Sized + Send + Sync + 'static> Link<L> {
    /// A link for `caller` to `contract` over `route`.
    pub fn new(caller: ServiceName, contract: &'static str, route: Arc<Route>) -> Link<L> {
        Link(Arc::new(Inner { caller, contract, route, local: OnceLock::new() }))
    }

    /// The way for one call. Fails, without anything having run, when the deadline has passed, the limit is
    /// reached or the service is not known.
    pub fn way<R>(&self, cx: &Context) -> Result<Way<'_, L>, CallError<R>> {
        let inner = &*self.0;
        in_process::in_time(cx)?;
        let in_flight = inner.route.limit().enter(inner.route.service().as_str())?;
        if let Some(local) = inner.local.get() {
            return Ok(Way::Local(local, in_flight));
        }
        match inner.route.place()? {
            Place::Remote(caller) => Ok(Way::Remote(caller, in_flight)),
            Place::Local(served) => {
                let local = served
                    .iter()
                    .filter(|served| served.contract().name == inner.contract)
                    .find_map(|served| served.local().downcast_ref::<Arc<L>>());
                match local {
                    Some(local) => Ok(Way::Local(inner.local.get_or_init(|| Arc::clone(local)), in_flight)),
                    None => Err(CallError::not_run(
                        CauseKind::NoSuchMethod,
                        format!(
                            "`{}` does not serve the contract `{}`",
                            inner.route.service(),
                            inner.contract
                        ),
                    )),
                }
            }
        }
    }

    /// What the callee sees of `cx`.
    pub fn context(&self, call: &Call, cx: &Context) -> Context {
        cx.for_call(&self.0.caller, call.repeat == Repeat::Keyed)
    }

    /// Calls a service elsewhere, tried again as far as the method allows.
    pub fn remote<'a, A, T, R>(
        &'a self,
        caller: &'a Arc<dyn Caller>,
        in_flight: InFlight<'a>,
        call: &'static Call,
        cx: &Context,
        arguments: &A,
    ) -> Calling<'a, T, R>
    where
        A: Serialize + ?Sized,
        T: DeserializeOwned + 'a,
        R: Refusal,
    {
        let cx = self.context(call, cx);
        match codec::encode(arguments) {
            Ok(arguments) => Calling::remote(in_flight, Box::pin(self.send(caller, call, cx, arguments))),
            Err(error) => Calling::not_run(malformed(error)),
        }
    }

    async fn send<T, R>(
        &self,
        caller: &Arc<dyn Caller>,
        call: &'static Call,
        cx: Context,
        arguments: Bytes,
    ) -> Result<T, CallError<R>>
    where
        T: DeserializeOwned,
        R: Refusal,
    {
        let mut retry = Retry::new(call, &cx);
        loop {
            let answer: BoxFuture<'_, Result<Bytes, CallError<Bytes>>> = caller.call(Request {
                service: self.0.route.service(),
                call,
                cx: &cx,
                arguments: arguments.clone(),
            });
            let error = match answer.await {
                Ok(bytes) => return codec::decode(&bytes).map_err(came_back_malformed),
                Err(CallError::Refused(bytes)) => {
                    let refused = codec::decode(&bytes);
                    return Err(
                        retry.conclude(refused.map_or_else(refused_in_unknown_terms, CallError::Refused))
                    );
                }
                Err(CallError::NotRun(cause)) => CallError::NotRun(cause),
                Err(CallError::MayHaveRun(cause)) => CallError::MayHaveRun(cause),
            };
            if !retry.again(&error).await {
                return Err(retry.conclude(error));
            }
        }
    }
}

/// A newer callee may refuse for a reason that this caller does not know. Whatever it was, a refusal changed nothing.
fn refused_in_unknown_terms<R>(error: codec::CodecError) -> CallError<R> {
    CallError::not_run(CauseKind::Malformed, crate::dispatch::with_source(&error))
}

impl<L: ?Sized> Clone for Link<L> {
    fn clone(&self) -> Link<L> {
        Link(Arc::clone(&self.0))
    }
}

impl<L: ?Sized> fmt::Debug for Link<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("caller", &self.0.caller)
            .field("contract", &self.0.contract)
            .field("route", &self.0.route)
            .finish()
    }
}
