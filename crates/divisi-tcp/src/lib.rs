//! Calls over TCP. Knows bytes, not services.
//!
//! ```text
//! client                                                          server
//!   connect ─────────────────────────────────────────────────────▶ accept
//!   preface, Hello ──────────────────────────────────────────────▶ which versions?
//!   what is served there? ◀────────────────── preface, Welcome (or Refuse, and the end)
//!   Request 1, Request 2 ────────────────────────────────────────▶ each is polled once where it was read,
//!                                                                  and becomes a task if it waits
//!   ◀─────────────────────────────────────────── Answer 2, Answer 1   in the order in which they are ready
//!   Cancel 3 ────────────────────────────────────────────────────▶ the handler is dropped
//!   Ping ───────────────────────────▶ ◀─────────────────────── Pong
//!   no new calls here ◀────────────────────────────────────── Drain
//!   closes after the last answer ────────────────────────────────▶ closes
//! ```
//!
//! In order of use: [`Server`] (serves contracts on an address), [`Client`] (the [`divisi_call::Caller`] for one
//! address: one connection for calls, a second one for bulk), [`limits`] (every bound, with its reason), and below
//! them [`handshake`], [`message`] and [`frame`]: the bytes of `docs/wire.md`.
//!
//! It encrypts nothing and authenticates nobody yet: it belongs on a network that is trusted.

pub mod frame;
pub mod handshake;
pub mod limits;
pub mod message;

mod client;
mod outgoing;
mod server;

pub use client::{Client, ClientOptions};
pub use limits::Limits;
pub use server::{Drained, Server};
