//! A process and everything that it started.

use std::fs;
use std::path::PathBuf;

use rustix::process::Pid;

/// `first` and its descendants, parents before children.
pub(super) fn of(first: Pid) -> Vec<Pid> {
    let mut found = vec![first];
    let mut n_seen = 0;
    while let Some(&pid) = found.get(n_seen) {
        n_seen += 1;
        for thread in threads(pid) {
            let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
        }
    }
    found
}

/// The threads of `first` and its descendants that are neither stopped nor over, with their states.
pub(super) fn running(first: Pid) -> Vec<String> {
    let runs = |thread: PathBuf| {
        // One that cannot be read has ended meanwhile.
        let stat = fs::read_to_string(thread.join("stat")).ok()?;
        let state = state(&stat).filter(|state| !matches!(state, 'T' | 't' | 'Z' | 'X'))?;
        let number = thread.file_name().unwrap_or_default().to_string_lossy();
        Some(format!("{number} ({state})"))
    };
    of(first).into_iter().flat_map(threads).filter_map(runs).collect()
}

/// The directories of a process's threads; none when it has ended.
fn threads(pid: Pid) -> impl Iterator<Item = PathBuf> {
    let directory = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid()));
    directory.into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The letter after the name, which stands in brackets and may hold any character.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_found_behind_any_name() {
        assert_eq!(state("17 (a) T (b)) S 1 17"), Some('S'));
        assert_eq!(state("17 (java) T 1 17"), Some('T'));
        assert_eq!(state("17"), None);
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_not_frozen() {
        let this = rustix::process::getpid();
        assert_eq!(of(this)[0], this);
        assert!(!running(this).is_empty());
    }
}
