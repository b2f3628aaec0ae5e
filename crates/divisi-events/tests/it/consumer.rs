//! The consumer over SQLite.

#[cfg(feature = "conformance")]
mod suite;
