//! The first hour: what can be wrong at a start is said in a sentence, with an exit code; and an end is clean.

mod ending;
mod order;
mod refused;
