//! Real servers under the launcher: each promise of the crate, kept.

mod orphans;
mod postgres;
