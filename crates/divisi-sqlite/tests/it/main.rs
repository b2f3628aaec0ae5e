//! What SQLite as a store promises.

mod fixture;
mod thin;
