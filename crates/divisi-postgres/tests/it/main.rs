//! What PostgreSQL as a store promises, on a real server.

mod conformance;
mod fixture;
