//! Divisi beside its peers: `cargo xtask bench calls | events | edge | engines`.
//!
//! Every number of a run is made in that run, peers included, in rounds that take turns, so that whatever the machine
//! does meanwhile happens to all of them. A ratio is taken within each round; its median is what counts. The table
//! goes to the terminal, everything to `results/NAME.json`. A part alone (`events commits`) is printed and not written.

mod calls;
mod edge;
mod engines;
mod events;

mod load;
mod machine;
mod order;
mod report;
mod runtime;
mod summary;

use std::process::ExitCode;

use anyhow::bail;

const HELP: &str = "usage: divisi-bench calls | events [PART] | edge | engines [PART]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["calls"] => calls::run()?.publish(),
        ["edge"] => edge::run()?.publish(),
        ["events"] => events::run(None)?.publish(),
        ["events", part] => {
            events::run(Some(part))?.print();
            Ok(())
        }
        ["engines"] => engines::run(None)?.publish(),
        ["engines", part] => {
            engines::run(Some(part))?.print();
            Ok(())
        }
        // The process of `events` whose syncs are slow.
        [events::SLOWED] => events::run_slowed(),
        _ => bail!(HELP),
    }
}
