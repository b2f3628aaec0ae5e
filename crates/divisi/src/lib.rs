//! Write your services once. Run them as one process or as many. The guarantees are the same.
//!
//! The façade: it re-exports the crates in the order of the path, from a contract to a projection.

pub use divisi_call as call;
pub use divisi_contract as contract;

pub use divisi_macros::{contract, data, event, refusal};

pub use divisi_contract::{
    Answer, CallError, Context, Event, FieldError, Invalid, NoRefusal, Refusal, refuse,
};

#[doc(hidden)]
pub use divisi_call::private;
