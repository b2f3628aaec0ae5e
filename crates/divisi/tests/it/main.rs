//! What a user of the façade may rely on.

mod blog;
mod callers;
mod definitions;
mod edge;
mod hygiene;
mod messages;
mod travel;
