//! The one command: format, lints, the map, tests, documentation.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::command::cargo;
use crate::{crates, servers, tidy};

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
    needs("cc", "a C compiler, for the bundled SQLite: install gcc or clang")?;
    cargo(&["fmt", "--all", "--check"])?;
    crates::check()?;
    tidy::check()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
}

/// Looks whether a program that the build needs is there, and says in words what to install if not.
fn needs(program: &str, what: &str) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| Path::new(&directory).join(program).exists());
    if !found {
        bail!("`{program}` is missing: {what}");
    }
    Ok(())
}
