//! The seam for remote calls: one request in, one answer out.

use bytes::Bytes;
use divisi_contract::{CallError, Context, Repeat, ServiceName};

use crate::BoxFuture;

/// Which method is called. One constant a method, made by `#[contract]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The contract's name.
    pub contract: &'static str,
    /// The contract's major version.
    pub version: u32,
    /// The method's name.
    pub method: &'static str,
    /// What may be done when the outcome is not known.
    pub repeat: Repeat,
}

/// One request to a service elsewhere.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The service that is asked.
    pub service: &'a ServiceName,
    /// The method.
    pub call: &'static Call,
    /// What the callee sees: deadline, trace, caller, idempotency key.
    pub cx: &'a Context,
    /// The arguments, encoded as a map by name.
    pub arguments: Bytes,
}

/// Carries calls to services elsewhere.
///
/// Dropping the future cancels the call: the callee's work is dropped as soon as it hears of it. An answer or a
/// refusal comes back as the encoded value; what is known about an error is in its variant.
pub trait Caller: Send + Sync + 'static {
    /// Makes the call. It is sent once: trying again is [`crate::retry`]'s.
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Bytes, CallError<Bytes>>>;
}
