//! The one command: format, lints, the map, tests, documentation.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

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
    needs("c++", "a C++ compiler, for Kafka's client: install g++ or clang")?;
    needs("cmake", "it builds Kafka's client: install cmake")?;
    for (header, package) in [("curl/curl.h", "libcurl4-openssl-dev"), ("openssl/ssl.h", "libssl-dev")] {
        includes(header, package)?;
    }
    cargo(&["fmt", "--all", "--check"])?;
    crates::check()?;
    tidy::check()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
}

/// Looks whether the C compiler finds a header that Kafka's client includes.
fn includes(header: &str, package: &str) -> anyhow::Result<()> {
    let mut cc = Command::new("cc")
        .args(["-E", "-x", "c", "-o", "/dev/null", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start `cc`")?;
    // It goes out of scope there, and the compiler sees the end.
    cc.stdin
        .take()
        .context("no way to speak to `cc`")?
        .write_all(format!("#include <{header}>\n").as_bytes())?;
    if !cc.wait()?.success() {
        bail!("<{header}> is missing, which Kafka's client includes: install {package}");
    }
    Ok(())
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
