//! Runs services in a placement.
//!
//! In order of use: [`config`] (what the process is told), [`telemetry`] (what it tells), [`health`] (whether it can
//! work, and why not), [`task`] (everything that runs in the background), [`shutdown`] (how it ends),
//! [`supervisor`] (every service as a process of its own, on this machine).

pub mod config;
pub mod health;
pub mod shutdown;
pub mod supervisor;
pub mod task;
pub mod telemetry;
