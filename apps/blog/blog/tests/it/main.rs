//! The blog as its users run it: real processes, real files, real sockets.

mod blog;
mod pairs;
#[cfg(feature = "failpoints")]
mod rebuild;
mod scenario;
mod tables;
