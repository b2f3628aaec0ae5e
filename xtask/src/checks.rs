//! The one command: format, lints, the map, tests, documentation.

use std::process::Command;

use crate::command::cargo;
use crate::{crates, needs, servers, tidy};

/// Everything that must hold, in the order in which it fails fastest.
pub(crate) fn test() -> anyhow::Result<()> {
    // Before the long part: no test does without a server that is not there.
    servers::servers()?;
    check()?;
    cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"])?;
    let docs = ["doc", "--workspace", "--no-deps", "--all-features"];
    crate::command::run(
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(docs)
            .env("RUSTDOCFLAGS", "-D warnings"),
        "cargo doc",
    )
}

/// What needs no test to be run.
pub(crate) fn check() -> anyhow::Result<()> {
    needs::all()?;
    cargo(&["fmt", "--all", "--check"])?;
    crates::check()?;
    tidy::check()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
}
