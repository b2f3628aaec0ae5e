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
//! ```
//! # use std::sync::Arc;
//! # use divisi_call::{Client as _, Place, Route};
//! # use divisi_contract::{Answer, Context, ServiceName};
//! use divisi_tcp::{Client, ClientOptions, Limits, Server};
//!
//! #[divisi_macros::contract(crate = divisi_call)]
//! pub trait Greeter {
//!     async fn greet(&self, cx: &Context, name: String) -> Answer<String>;
//! }
//! # struct Polite;
//! # impl Greeter for Polite {
//! #     async fn greet(&self, _cx: &Context, name: String) -> Answer<String> {
//! #         Ok(format!("good morning, {name}"))
//! #     }
//! # }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let greeter = GreeterClient::serve(Arc::new(Polite), None);
//! let services = vec![(ServiceName::from("greeter"), vec![greeter])];
//! let server = Server::bind("127.0.0.1:0", services, Limits::default()).await?;
//! let addr = server.local_addr()?.to_string();
//! let serving = tokio::spawn(server.serve(std::future::pending()));
//!
//! let route = Route::new("greeter");
//! route.lead_to(Place::Remote(Arc::new(Client::new(addr, ClientOptions::default()))));
//! let greeter = GreeterClient::over(ServiceName::from("hotel"), route);
//! assert_eq!(greeter.greet(&Context::root("hotel"), "Ada".to_owned()).await?, "good morning, Ada");
//! # serving.abort();
//! # Ok(())
//! # }
//! ```
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
pub use server::{Drained, Server, Tally};
