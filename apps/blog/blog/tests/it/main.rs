//! The blog as its users run it: real processes, real files, real sockets.

mod blog;
mod crash;
#[cfg(all(feature = "postgres", feature = "nats", feature = "kafka"))]
mod engines;
mod faults;
mod metrics;
mod operator;
mod pairs;
mod power;
mod provision;
#[cfg(feature = "failpoints")]
mod rebuild;
mod scenario;
mod startup;
mod tables;
