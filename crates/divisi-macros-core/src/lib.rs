//! What the macros of divisi do, as a library that tests can call.
//!
//! Each macro is three steps, a file each: `parse` turns tokens into a model, `check` holds the model against the
//! rules and notes every mistake, `expand` writes the code. [`contract`] is for traits, [`event`] for the structs
//! that are announced, [`refusal`] for the enums that say no, [`data`] for every other value of a contract.
//!
//! The item that the user wrote is given back even when it has mistakes, so that editors keep working.

pub mod contract;
pub mod data;
mod docs;
mod errors;
pub mod event;
mod names;
mod options;
pub mod refusal;
#[cfg(test)]
mod snapshot;
mod text;
