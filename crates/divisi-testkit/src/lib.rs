//! An app under faults.
//!
//! [`process`] runs an app as the real processes that a user starts, [`http`] is a stranger with a socket,
//! [`eventually`](mod@eventually) waits for a condition, [`memory_carrier`] is a broker that does everything a broker may do wrong.

pub mod eventually;
pub mod http;
pub mod memory_carrier;
pub mod process;

pub use eventually::eventually;
pub use http::{Http, Reply};
pub use memory_carrier::{Faults, MemoryCarrier};
