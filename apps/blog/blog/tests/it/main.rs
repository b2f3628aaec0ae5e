//! The blog as its users run it: real processes, real files, real sockets.

mod backup;
mod blog;
mod command;
mod crash;
#[cfg(all(feature = "postgres", feature = "nats", feature = "kafka"))]
mod engines;
mod faults;
#[cfg(feature = "postgres")]
mod instances;
mod metrics;
#[cfg(all(feature = "postgres", feature = "nats", feature = "kafka"))]
mod moving;
mod operator;
mod pairs;
mod power;
mod provision;
#[cfg(feature = "failpoints")]
mod rebuild;
mod scenario;
#[cfg(feature = "postgres")]
mod server;
mod startup;
mod tables;
