//! How events travel, over real stores.

mod feed;
