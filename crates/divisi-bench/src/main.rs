//! Divisi beside its peers: `cargo xtask bench calls | events | edge`.
//!
//! Every number of a run is made in that run, peers included, in rounds that take turns, so that whatever the machine
//! does meanwhile happens to all of them. A ratio is taken within each round; its median is what counts. The table
//! goes to the terminal, everything to `results/NAME.json`.

mod calls;
mod edge;
mod events;

mod load;
mod machine;
mod order;
mod report;
mod runtime;
mod summary;

use std::process::ExitCode;

use anyhow::bail;

const HELP: &str = "usage: divisi-bench calls | events | edge";

fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: Option<&str>) -> anyhow::Result<()> {
    match name {
        Some("calls") => calls::run()?.publish(),
        Some("edge") => edge::run()?.publish(),
        Some("events") => events::run()?.publish(),
        // The process of `events` whose syncs are slow.
        Some(events::SLOWED) => events::run_slowed(),
        _ => bail!(HELP),
    }
}
