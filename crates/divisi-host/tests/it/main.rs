//! The host from outside, with real processes.

mod supervisor;
