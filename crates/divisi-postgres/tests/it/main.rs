//! What PostgreSQL as a store promises, on a real server.

mod batches;
mod cancelling;
mod conformance;
mod consumer;
mod failover;
mod feed;
mod fixture;
mod full;
mod held;
mod importing;
mod instances;
mod killed;
mod leases;
mod opening;
mod outcomes;
mod projection;
mod proxy;
mod retention;
mod sending;
mod sharing;
mod staged;
mod statements;
mod storms;
mod tls;
mod values;
