//! The consumer over SQLite.

#[cfg(feature = "failpoints")]
mod killed;
mod pair;
mod real_log;
mod statements;
#[cfg(feature = "conformance")]
mod suite;
