//! What a service promises.
//!
//! A *contract* is a trait whose methods other services call; an *event* is a fact in the past tense that a
//! service announces; a *refusal* is a typed "no" that is part of the promise. All three are also data, so that
//! the gateway, the handshake and the compatibility check read them and none has to guess.
//!
//! In order of use: [`Answer`] and [`CallError`] (what a call brings back), [`Refusal`] and [`Invalid`] (how it
//! says no), [`Context`] (what travels with it), [`Contract`] (the promise as data), [`Event`] (the other half of
//! the promise), [`compatibility`] (old promise against new).
//!
//! This crate does no I/O and knows no runtime: both sides of a call and every tool may depend on it.

pub mod call_error;
pub mod codec;
pub mod compatibility;
pub mod context;
pub mod contract;
pub mod deadline;
pub mod error;
pub mod event;
pub mod keyed;
pub mod refusal;
pub mod schema;
pub mod travels;

pub use call_error::{Answer, CallError, Cause, CauseKind, refuse};
pub use context::{Context, Keyed, ServiceName, Trace};
pub use contract::{Argument, Contract, Method, Repeat, Route, Verb};
pub use deadline::Deadline;
pub use event::{Event, EventSpec};
pub use keyed::KeptAnswers;
pub use refusal::{FieldError, Invalid, NoRefusal, Refusal, RefusalSpec};
pub use travels::Travels;
