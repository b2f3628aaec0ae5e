//! What feeds and carriers promise, as bodies of tests: the same for every back end.

pub mod carrier;

pub use carrier::carrier_suite;
