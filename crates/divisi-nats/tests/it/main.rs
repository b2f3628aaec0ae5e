//! The carrier against real servers: its promises, and what it does when a server breaks them.

mod conformance;
mod connecting;
mod fencing;
mod forgetting;
mod load;
mod network;
mod outage;
mod proxy;
mod reading;
mod settings;
mod sharing;
mod support;
mod through;
mod world;
