//! How events travel: from the log of one service to the inbox of another.
//!
//! ```text
//! service's transaction ─► log ──fetch──► consumer ─► inbox transaction      straight from the log
//!                           └─relay─► carrier ──read───► consumer            a carrier: fan-out, strangers
//! ```
//!
//! Every event has a dense position in a fixed lane, given inside the producer's transaction. The consumer keeps a
//! watermark a lane, moved inside its own transaction. Safety depends on these two alone: everything between them may
//! lose, repeat, reorder, lie about time or vanish.
//!
//! In order of use: [`handler`] (what a service does with an event), [`fetch`] (the one question that a consumer
//! asks), [`event_log`] (the contract that carries it), [`tail`] and [`log_feed`] (who answers it), [`epochs`] (when a
//! source goes back in time), [`consumer`] (feed to inbox to handler, in one transaction), [`projection`] (events
//! folded into a read model), [`carrier`], [`cloud_event`] and [`relay`] (a broker between, how events look there, who
//! brings them), [`lane`] (when a reader of a broker asks the log).

pub mod carrier;
pub mod cloud_event;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod consumer;
pub mod epochs;
pub mod event_log;
pub mod fetch;
pub mod handler;
pub mod lane;
pub mod log_feed;
pub mod projection;
pub mod relay;
pub mod tail;

pub use carrier::{Carrier, CarrierError, Head, Hint, PublishError};
pub use event_log::{EventLog, EventLogClient, Progress};
pub use fetch::{Feed, Fetch, FetchRefused, Fetched, LaneWanted};
pub use handler::{Failure, Fold, Handler, Handlers};
pub use log_feed::{Listeners, Log, LogOptions};
