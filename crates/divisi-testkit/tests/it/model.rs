//! The promises of events, checked with the real consumer, log, relay and store, thousands of seeds each.
//!
//! Two models: [`protocol`] (carriers, relays, zombies, parked keys) and [`failover`] (databases that go back in
//! time). In both, production and trouble come first; then everything heals, and every promise must hold.

mod counted;
mod failover;
mod faults;
mod protocol;
mod reader;
mod relays;
mod source;
mod stage;
