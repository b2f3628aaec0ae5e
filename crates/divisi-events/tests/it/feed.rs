//! How a log answers: the promises of every feed, and what is true of a log in this process.

mod fixture;
mod history;
mod retention;
mod stress;
#[cfg(feature = "conformance")]
mod suite;
