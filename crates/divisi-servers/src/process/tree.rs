//! A process and everything that it started.

use std::fs;

use rustix::process::Pid;

/// `first` and its descendants, parents before children. Empty directories of `/proc` are processes that have ended.
pub(super) fn of(first: Pid) -> Vec<Pid> {
    let mut found = vec![first];
    let mut n_seen = 0;
    while let Some(&pid) = found.get(n_seen) {
        n_seen += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
        }
    }
    found
}
