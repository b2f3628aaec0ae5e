//! What an operator asks of an app's services and has them do: parked keys, lag, logs, projections, readers, epochs.
//!
//! A service's database belongs to one process. While that runs, a command goes through it: it listens at
//! `DATA/SERVICE.operator`, a Unix domain socket, for one question and one answer a connection. When nobody listens
//! there the command opens the database itself, answers by the same code, and closes it again. So each command works
//! with the app running or stopped, as one process or as many; one that concerns all services asks each and says who
//! did not answer.
//!
//! There is no authentication beyond the files' modes: the socket can be used by the user who runs the app (mode
//! 0600), who may read and write the databases anyhow. Nothing listens in a directory that everybody may write.
//!
//! In reading order: `protocol` (questions) and `answers`, `desk` (what one service answers, whoever opened it),
//! `socket` and `serving` (the way through a running process), `local` (a stopped service), `office` (who is asked
//! which way), `names` (what an operator may have meant), `table` (for people), `commands` (one a file), `figures` (for whoever watches).
//!
//! A back end that several processes may open at once needs no socket: there `office` would open its own connection,
//! and the desk stays as it is.

mod answers;
mod commands;
mod desk;
mod figures;
mod local;
mod names;
mod office;
mod protocol;
mod serving;
mod socket;
mod table;

pub(crate) use commands::{Command, run};
pub(crate) use desk::{Desk, Folding, Life, Reacting};
pub(crate) use figures::Counting;
pub(crate) use office::Office;
pub(crate) use serving::serve;
pub(crate) use socket::listen;
