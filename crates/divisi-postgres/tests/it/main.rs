//! What PostgreSQL as a store promises, on a real server.

mod cancelling;
mod conformance;
mod consumer;
mod failover;
mod feed;
mod fixture;
mod instances;
mod outcomes;
mod proxy;
mod statements;
mod storms;
