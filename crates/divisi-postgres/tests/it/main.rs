//! What PostgreSQL as a store promises, on a real server.

mod conformance;
mod consumer;
mod feed;
mod fixture;
mod statements;
