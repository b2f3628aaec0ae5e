//! Calls over real sockets.

mod support;

mod calls;
mod conformance;
