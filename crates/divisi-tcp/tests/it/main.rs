//! Calls over real sockets.

mod raw;
mod support;

mod bounds;
mod calls;
mod conformance;
mod endings;
mod feeds;
mod greetings;
mod wire;
