//! Runs a program and says what failed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// Runs cargo in the root of the workspace; its output is the reader's.
pub(crate) fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(arguments), &format!("cargo {}", arguments.join(" ")))
}

/// Runs a command in the root of the workspace and prints how long it took.
pub(crate) fn run(command: &mut Command, what: &str) -> anyhow::Result<()> {
    eprintln!("── {what}");
    let began = Instant::now();
    let status = command.current_dir(root()).status().with_context(|| format!("cannot start `{what}`"))?;
    eprintln!("── {what}: {:.0?}", began.elapsed());
    if !status.success() {
        bail!("`{what}` failed: {status}");
    }
    Ok(())
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    // What cargo says now: a target directory that several checkouts share may hold the binary of another one.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().map(Path::to_owned).unwrap_or_default()
}
