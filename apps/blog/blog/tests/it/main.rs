//! The blog as its users run it: real processes, real files, real sockets.

mod blog;
mod pairs;
mod scenario;
mod tables;
