//! The blog's binary, given a command that comes to an end.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use rustix::process::Signal;

/// The binary, with nothing set.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blog"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DIVISI_")) {
        command.env_remove(name);
    }
    command
}

/// All that a command said.
pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether a command was killed, by itself or by the test.
pub(crate) fn was_killed(output: &Output) -> bool {
    output.status.signal() == Some(Signal::KILL.as_raw())
}
