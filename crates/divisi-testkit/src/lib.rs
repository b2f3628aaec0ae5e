//! An app under faults.
//!
//! [`memory_carrier`] is a broker that does everything a broker may do wrong.

pub mod memory_carrier;

pub use memory_carrier::{Faults, MemoryCarrier};
