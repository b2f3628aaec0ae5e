//! The carrier against real servers: its promises, and what it does when a server breaks them.

mod conformance;
mod fencing;
mod forgetting;
mod load;
mod outage;
mod reading;
mod settings;
mod support;
mod through;
mod world;
