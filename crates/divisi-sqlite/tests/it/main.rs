//! What SQLite as a store promises.

mod conformance;
mod fixture;
mod thin;
