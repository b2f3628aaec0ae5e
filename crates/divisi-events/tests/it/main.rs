//! How events travel, over real stores.

mod consumer;
mod feed;
mod projection;
