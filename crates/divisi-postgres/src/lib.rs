//! PostgreSQL as store: one database a service, as many instances of the service as are wanted.
//!
//! [`Postgres`] opens the databases of services at the addresses that [`Urls`] names. A transaction's events are numbered
//! behind the locks of their lanes by the last statement before COMMIT, so that a lane is always read as a prefix,
//! whichever instance wrote it.
//!
//! In reading order: [`urls`], [`options`], `place`, `tls` and `connect` (which server, and what a session is set to),
//! [`provision`](provision()) (a role and a database for each service),
//! `migrate` and `epochs` (what happens before serving, and after a promotion or a restore), `value`, `scan` and `link`
//! (statements, and how a connection goes back), `outbox` and `page` (writing and reading the log), `core` and
//! `transaction` (what a commit is), `watch` (what other processes write), [`retention`], `import` and `arrival` (a
//! database that comes from another engine), `backend` (all of it behind the seam of `divisi-store`).
//!
//! Not here: a pooler that gives each transaction another session (a session's settings and prepared statements are
//! relied on), two-phase commit, and events of transactions stricter than READ COMMITTED.

mod arrival;
mod backend;
mod connect;
mod core;
mod epochs;
mod error;
mod import;
mod later;
mod link;
mod migrate;
pub mod options;
mod outbox;
mod page;
mod place;
mod provision;
pub mod retention;
mod scan;
mod staged;
mod tls;
mod transaction;
mod trip;
pub mod urls;
mod value;
mod watch;

pub use arrival::{Arrival, CameFrom};
pub use backend::{Postgres, PostgresStore};
pub use import::{ImportError, Imported, ImportedTable, Part};
pub use options::Options;
pub use provision::{own_url, provision, provisioning};
pub use urls::Urls;

/// The points at which a test can kill, stop or fail the process, in the order in which a transaction passes them.
///
/// The append and COMMIT go out together, so there is none between them: a test cuts the wire there instead.
pub const FAILPOINTS: [&str; 2] = ["commit.before", "commit.after"];
