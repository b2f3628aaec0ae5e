//! The HTTP edge, from the contracts.
//!
//! A contract says where its methods stand: `#[post("/posts/{post}/comments")]`. The gateway reads that as data,
//! turns a request into a call and its outcome into an answer, and knows the types of neither.
//!
//! In order of use: [`Gateway`] (edges in, a server out), [`Limits`] (what a stranger may ask for), [`RouteConflict`]
//! (two contracts want the same route), [`Health`] (what `/livez` and `/readyz` say).
//!
//! | what happened | status | `did_it_run` |
//! |---|---|---|
//! | an answer | the route's, `application/json`; 204 has no body | |
//! | a refusal | the contract's | |
//! | a request that cannot be read | 400 | |
//! | a request that can be read and breaks a rule | 422 | |
//! | no such path, no such verb (with `Allow`) | 404, 405 | |
//! | a body too slow, too large, of another type | 408, 413, 415 | |
//! | an idempotency key used before with other arguments | 422 | `no` |
//! | it did not run | 503 with `Retry-After`; 502 when trying again is no use | `no` |
//! | it may have run | 504 | `unknown` |
//! | a bug, an answer that is too large to be given | 500 | `no` or `unknown` |
//!
//! Whatever is no answer is a problem (RFC 9457, `application/problem+json`) with a stable `code`, every failed rule
//! in `errors`, and the `trace_id` under which the log has the rest: what a 5xx says to a stranger never contains the
//! words of what is behind the edge.
//!
//! A request without a `traceparent` begins a trace; every answer names its trace in `traceresponse`.
//!
//! An `Idempotency-Key` is for methods that keep their answers. A method that may be repeated anyway takes it and does
//! not need it. On any other method it is an error: to ignore it would promise what nobody keeps.
//!
//! All who come through the gateway share the keys of a method: to the callee they are one caller, `gateway`, and an answer
//! is kept under `comments.add/gateway` and the key. The gateway knows no users. So a key is to be random, as a UUID is: who
//! sends another one's key with the same arguments gets the answer that was kept for them. Where that must not be, who it
//! is for is an argument of the method: other arguments under the same key are refused.
//!
//! It knows nothing of sockets between services, of stores or of events.

mod gateway;
mod limits;

mod endpoint;
mod resource;
mod routes;

mod body;
mod key;
mod path;
mod query;

mod access;
mod answer;
mod caught;
mod health;
mod problem;
mod serve;
mod stall;

mod host;

pub use gateway::Gateway;
pub use health::{Health, Metrics, Report};
pub use host::WithGateway;
pub use limits::Limits;
pub use routes::RouteConflict;
