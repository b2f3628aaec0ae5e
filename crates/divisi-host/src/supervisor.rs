//! Every service as a process of its own, on this machine.

pub mod backoff;

/// Names the process that supervises this one.
pub const SUPERVISED_BY: &str = "DIVISI_SUPERVISED_BY";
