//! What Kafka as a carrier promises, on a real broker. All tests share one.

mod broker;
mod conformance;
#[cfg(feature = "ssl")]
mod encrypted;
mod faults;
mod load;
mod outside;
mod pair;
mod provision;
mod reading;
mod sharing;
mod topics;
