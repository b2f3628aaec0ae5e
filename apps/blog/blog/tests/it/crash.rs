//! Processes are killed with SIGKILL while people write. Whatever was acknowledged is there once, in order, and what is
//! read from it is what it was made of.

pub(crate) mod fleet;
pub(crate) mod load;
pub(crate) mod truth;

pub(crate) mod controls;
mod points;
pub(crate) mod random;

use std::os::unix::process::ExitStatusExt;

use divisi_testkit::process::Process;
use rustix::process::Signal;

/// Waits until a process has ended by SIGKILL, which nobody but itself sent.
pub(crate) fn killed_itself(process: &mut Process, why: &str) {
    let status = process.ended();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{why}: {status}\n{}", process.all_output());
}

/// Without its points the program would pass every test that needs them.
pub(crate) fn needs_failpoints() {
    if !cfg!(feature = "failpoints") {
        panic!("run with --all-features: without failpoints nothing is killed or left out");
    }
}
