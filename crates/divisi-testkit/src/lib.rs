//! An app under faults, deterministic: one seed, one history.
//!
//! In order of use: [`seeds`] (many seeds, and how to play one again), [`history`] (what happened), [`watched`] (waiting in an order that is one seed's), [`disk`] (database
//! files that go back in time), [`feed_faults`] (the way to a log), [`memory_carrier`] (a broker that does everything
//! a broker may do wrong).

pub mod disk;
pub mod eventually;
pub mod feed_faults;
pub mod history;
pub mod http;
pub mod memory_carrier;
pub mod process;
pub mod seeds;
pub mod watched;

pub use disk::Disk;
pub use eventually::eventually;
pub use feed_faults::{FaultyFeed, Reached};
pub use history::History;
pub use http::{Http, Reply};
pub use memory_carrier::{Faults, MemoryCarrier};
pub use seeds::{Outcome, Seeds, simulate};
pub use watched::Watched;
