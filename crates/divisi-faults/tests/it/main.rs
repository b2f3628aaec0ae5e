//! The fault catalogue on real engines: a bank of real processes, and everything that is done to it.
//!
//! `DIVISI_FAULTS=whole` does all of it and takes long; the short form, the default, takes one engine a kind of fault.
//! `DIVISI_FAULTS_FIGURES=FILE` appends a line of figures for each bank, `DIVISI_FAULTS_SEED` plays one again.

mod bank;
mod book;
mod controls;
mod figures;
mod forgetting;
mod idle;
mod invariants;
mod kills;
mod lanes;
mod load;
mod nemesis;
mod outage;
mod rebuild;
mod relay;
mod servers;
mod standbys;
mod stops;
mod truth;
mod zombies;
