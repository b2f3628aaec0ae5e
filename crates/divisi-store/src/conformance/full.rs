//! What a full disk is tried on: a small disk that can be filled to the page, and what was answered to those who wrote.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use divisi_contract::{CallError, CauseKind};

use super::account::is_consistent;
use crate::store::Store;

/// A disk of its own, mounted on a directory and taken away when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    place: PathBuf,
    page: usize,
}

impl SmallDisk {
    /// A disk on `place`, with the options of `mount`, which say its size; `page` is what it is filled by. None where this process may
    /// not mount.
    pub fn mount(place: &Path, options: &str, page: usize) -> Option<SmallDisk> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place).output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        mounted.then(|| SmallDisk { place: place.to_owned(), page })
    }

    /// Leaves so many pages free.
    pub fn leave(&self, pages: usize) {
        self.clear();
        let mut filler = fs::File::create(self.filler()).expect("a file");
        let bytes = vec![1; self.page];
        // As much as there is, and then some of it is given back.
        while filler.write_all(&bytes).is_ok() {}
        let length = filler.metadata().expect("a file").len();
        filler.set_len(length.saturating_sub((pages * self.page) as u64)).expect("a shorter file");
    }

    /// There is room again.
    pub fn clear(&self) {
        // Truncated first: a process that another test starts may hold the file for a moment, and its pages with it.
        let _ = fs::File::create(self.filler());
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).output();
    }
}

/// What was answered to those who opened an account with a balance of one, each of a name of its own.
#[derive(Debug, Default)]
pub struct Answered {
    /// It happened.
    pub done: BTreeSet<String>,
    /// It may have happened.
    pub unknown: BTreeSet<String>,
    /// It did not happen.
    pub n_refused: usize,
}

impl Answered {
    /// Notes an answer; a refusal must be the database's.
    pub fn note(&mut self, account: String, answer: Result<i64, CallError>) {
        match answer {
            Ok(balance) => {
                assert_eq!(balance, 1);
                self.done.insert(account);
            }
            Err(CallError::MayHaveRun(_)) => {
                self.unknown.insert(account);
            }
            Err(error) => {
                let kind = error.cause().map(|cause| cause.kind);
                assert!(matches!(kind, Some(CauseKind::Store | CauseKind::Conflict)), "{error}");
                self.n_refused += 1;
            }
        }
    }

    /// What was acknowledged is there, what was refused is not, and the log says the same.
    pub async fn is_true(&self, store: &Store) {
        let found: BTreeSet<String> = is_consistent(store).await.into_keys().collect();
        assert!(self.done.is_subset(&found), "lost: {:?}", self.done.difference(&found));
        let more: Vec<_> =
            found.difference(&self.done).filter(|more| !self.unknown.contains(*more)).collect();
        assert!(more.is_empty(), "refused and yet there: {more:?}");
    }
}
