//! Real servers under the launcher: each promise of the crate, kept.
//!
//! The protocols of NATS and Kafka are spoken by hand, a few messages each, so that this crate needs no client.

mod install;
mod kafka;
mod kafka_by_hand;
mod nats;
mod nats_by_hand;
mod orphans;
mod postgres;
