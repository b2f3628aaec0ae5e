//! The blog as its users run it: real processes, real files, real sockets.

mod blog;
mod crash;
mod faults;
mod metrics;
mod operator;
mod pairs;
mod power;
#[cfg(feature = "failpoints")]
mod rebuild;
mod scenario;
mod startup;
mod tables;
