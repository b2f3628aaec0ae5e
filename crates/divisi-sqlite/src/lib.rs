//! SQLite as store: one file and one owner process a service, group commit.
//!
//! [`Sqlite`] opens the databases of services in a directory. There is one writer, and a commit is one sync: so
//! transactions that wait together commit together, and every answer waits for the sync that makes it true.
//!
//! In reading order: [`options`], `place`, `owner` and `same_file` (where a file may live, whose it is, and whether it is still there), `connect` (what each
//! setting is for), `migrate` and `epochs` (what happens before serving), `link` (statements), `writer` and `outbox`
//! (the one connection that writes), `group` and `transaction` (who shares a commit), `snapshot` (reading),
//! `checkpoint` and [`retention`] (what keeps files short), `backup` (copies while it is in use), `leaving` and `moved`
//! (a database that goes to another engine),
//! `backend` (all of it behind the seam of `divisi-store`).

mod backend;
mod backup;
mod checkpoint;
mod connect;
mod epochs;
mod error;
mod group;
mod leaving;
mod link;
mod migrate;
mod moved;
pub mod options;
mod outbox;
mod owner;
mod place;
pub mod retention;
mod same_file;
mod scan;
mod snapshot;
mod stats;
mod transaction;
mod writer;

pub use backend::{Sqlite, SqliteStore};
pub use leaving::{Leaving, Versions};
pub use options::{Options, Synchronous};
pub use stats::Stats;

/// The points at which a test can kill, stop or fail the process, in the order in which a transaction passes them.
///
/// `append.before` and `append.after` stand around the numbering of a transaction's events, `group.inside` after the
/// release of its savepoint, `commit.before` and `commit.during` before the group's COMMIT (the latter when nothing
/// can join any more and the sync is next), `commit.after` between the sync and the first who is told.
///
/// Two more fail nothing: at `synchronous.off` and `synchronous.normal` an `error` opens files with less than the
/// options say, for tests that must see acknowledged writes lost in a power cut.
pub const FAILPOINTS: [&str; 6] =
    ["append.before", "append.after", "group.inside", "commit.before", "commit.during", "commit.after"];
