//! What a service remembers: its rows, its log, and how far it has listened to others.
//!
//! [`Store::transact`] is the only way to write. Its closure gets a [`Tx`]; rows changed and events emitted through
//! it commit together or not at all. [`Store::read`] gives a snapshot.
//!
//! In order of use: [`store`] (the handle), [`transaction`] (the unit in which state and events are saved),
//! [`value`] (rows in and out), [`record`] (an event in the log), [`outbox`] (reading the log), [`epoch`] (when a
//! database goes back in time), [`inbox`], [`parked`], [`reader`], [`seen`], [`lease`] (table families that back ends share),
//! [`retention`] (when logs are shortened), [`backend`] (the seam that SQLite and PostgreSQL implement), [`migration`],
//! [`origin`] (a database that moves to another engine).
//!
//! The statements of the table families are one text for both dialects and live here, once; what differs (connecting,
//! committing, appending to the log, beginning an epoch) lives in the back ends.

pub mod backend;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod epoch;
pub mod error;
pub mod failpoint;
pub mod inbox;
pub mod lease;
pub mod migration;
pub mod mutation;
pub mod origin;
pub mod outbox;
pub mod parked;
pub mod projection;
pub mod reader;
pub mod record;
pub mod retention;
pub mod seen;
pub mod store;
pub mod transaction;
pub mod value;

pub use backend::{Activity, BackedUp, Backend, Class, Dialect, Isolation, Session, StoreName, Stores};
pub use clock::Clock;
pub use epoch::{Epoch, Epochs};
pub use error::{OpenError, StoreError, StoreErrorKind};
pub use migration::{Migration, Schema};
pub use origin::Origin;
pub use record::{Committed, Draft, Lane, Pos, Position, Record, Timestamp};
pub use store::{Store, TxFailed};
pub use transaction::{Read, Tx};
pub use value::{FromRow, FromValue, Row, ToValue, Value, ValueRef};

use std::future::Future;
use std::pin::Pin;

/// A future in a box, which may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
