//! Runs services in a placement.
//!
//! In order of use: [`service`] (what a service is), [`parts`] (what it is made from), [`graph`] (the whole app),
//! [`app`] (the command line), [`backends`] (databases and a broker), [`config`] (what the process is told), [`placement`] (who runs where), [`runtime`]
//! (on which threads), [`host`] (wires and starts), [`edge`] (the seam for HTTP), [`telemetry`] (what it tells), [`health`] (whether it can work, and why
//! not), [`task`] (everything that runs in the background), [`shutdown`] (how it ends), [`supervisor`] (every service
//! as a process of its own, on this machine), `operator` (what an operator asks of all that, and has it do).
//!
//! It knows no database, no broker and no HTTP: the app brings them.

pub mod app;
pub mod backends;
pub mod config;
pub mod edge;
pub mod graph;
pub mod health;
pub mod host;
pub mod metrics;
mod operator;
pub mod parts;
pub mod placement;
pub mod runtime;
pub mod service;
pub mod shutdown;
pub mod supervisor;
pub mod task;
pub mod telemetry;
mod tidy;

pub use app::App;
pub use parts::Parts;
pub use service::{Projection, Service};
