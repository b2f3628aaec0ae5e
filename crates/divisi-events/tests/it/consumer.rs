//! The consumer over SQLite.

#[cfg(feature = "failpoints")]
mod killed;
#[cfg(all(feature = "conformance", feature = "mutations"))]
mod mistakes;
mod pair;
mod real_log;
mod sharing;
mod slow;
mod statements;
mod stopping;
#[cfg(feature = "conformance")]
mod suite;
