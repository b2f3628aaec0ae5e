//! NATS JetStream as a carrier of events.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use divisi_events::Carrier;
//! use divisi_nats::{Credentials, Nats, Options};
//!
//! let options = Options {
//!     credentials: Credentials::File("blog.creds".into()),
//!     ..Options::new("blog", ["nats://broker.example:4222"])
//! };
//! let carrier: Arc<dyn Carrier> = Arc::new(Nats::connect(options).await?);
//! // for `Relay::new(…, carrier, …)` on the side of the source, and `Consumer::via(carrier)` on that of a reader
//! # Ok(())
//! # }
//! ```
//!
//! A topic is a stream, a lane a subject of it: `evt.<topic>.<lane>`. What lies there is a CloudEvent
//! ([`divisi_events::cloud_event`]), so strangers read it with any client. A source's beacons are not stored: they go
//! out on `evt-beacon.<topic>`.
//!
//! In order of use: [`Options`], [`Nats`]; inside, `names` (streams, subjects, hints), `connection` (one, kept up for
//! ever), `heard` (what the server refuses), `streams` (made with the right settings, or checked against them),
//! `publishing` (in order, fenced), `head` (what lies at the end of a lane), `lanes` (what is known of the end of each),
//! `reading` (a consumer that the server forgets by itself).
//! [`provision()`] and [`users()`] are an operator's: streams, and users that may do what their services need.
//!
//! Nothing here is trusted by anybody: a server that loses what it acknowledged, repeats, or stops costs time only.

mod connection;
mod error;
mod head;
mod heard;
mod lanes;
mod names;
mod nats;
mod options;
mod provision;
mod publishing;
mod reading;
mod streams;
mod users;

pub use error::ConnectError;
pub use nats::{NAME, Nats};
pub use options::{ACK_WITHIN, ANSWER_WITHIN, Credentials, Options, StreamOptions, Tls};
pub use provision::{ProvisionError, provision, provisioning};
pub use users::{Rights, User, UsersError, users};
