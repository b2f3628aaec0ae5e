//! The chores of this repository: `cargo xtask …`.

mod checks;
mod command;
mod crates;
mod faults;
mod needs;
mod servers;
mod tidy;
mod up;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test             every check and every test: what CI runs
cargo xtask check            format, lints, the map of crates; no tests
cargo xtask servers          PostgreSQL, NATS and Kafka: found, or brought to this machine
cargo xtask up [NAME…]       postgres, nats and kafka, or the named ones, until Ctrl-C; data is kept
cargo xtask faults           the fault catalogue on real engines, all of it; writes docs/faults_results.md
cargo xtask bench NAME       calls | events | edge | engines, beside their peers, in a release build";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["test"] => checks::test(),
        ["check"] => checks::check(),
        ["servers"] => servers::servers(),
        ["up", ref names @ ..] => up::up(names),
        ["faults"] => faults::faults(),
        ["bench", name] => command::cargo(&["run", "--release", "--package", "divisi-bench", "--", name]),
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
