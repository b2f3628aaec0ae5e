//! The gateway over a real socket.

mod client;
mod edge;

mod arguments;
mod bodies;
mod connections;
mod context;
mod contract;
mod health;
mod log;
mod outcomes;
mod rubbish;
mod verbs;
