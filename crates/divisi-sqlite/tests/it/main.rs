//! What SQLite as a store promises.

mod backup;
mod checkpoints;
mod conformance;
mod crash;
mod fixture;
mod full;
mod groups;
mod leaving;
mod locked;
mod opening;
mod own_process;
mod retention;
mod stress;
mod turns;
