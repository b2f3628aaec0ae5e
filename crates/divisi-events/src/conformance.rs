//! What feeds and carriers promise, as bodies of tests: the same for every back end.

pub mod carrier;
pub mod consumer;
pub mod feed;

mod told;

pub use carrier::carrier_suite;
pub use consumer::consumer_suite;
pub use feed::feed_suite;
pub use told::Told;
