//! A test in a process of its own: where a failpoint is set, or where it is killed.

use std::process::{Command, Output};

/// Whether this process was started by [`run`].
pub(crate) fn is_child() -> bool {
    std::env::var_os("DIVISI_TEST_CHILD").is_some()
}

/// Runs the test `name` of this binary in a process of its own, with these variables.
pub(crate) fn run(name: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().expect("this binary"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("DIVISI_TEST_CHILD", "1")
        .envs(variables.iter().copied())
        .output()
        .expect("this binary starts again")
}

/// Runs the test `name` again in a process with these failpoints; `true` in that process, which does the work.
pub(crate) fn with_failpoints(name: &str, failpoints: &str) -> bool {
    if is_child() {
        return true;
    }
    let output = run(name, &[("DIVISI_FAIL", failpoints)]);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "the test ran: {said}");
    false
}
