//! The chores of this repository: `cargo xtask …`.

mod checks;
mod command;
mod crates;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test             every check and every test: what CI runs
cargo xtask check            format, lints, the map of crates; no tests
cargo xtask bench NAME       calls | events | edge, beside their peers, in a release build";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match (arguments.next().as_deref(), arguments.next()) {
        (Some("test"), None) => checks::test(),
        (Some("check"), None) => checks::check(),
        (Some("bench"), Some(name)) => {
            command::cargo(&["run", "--release", "--package", "divisi-bench", "--", &name])
        }
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
