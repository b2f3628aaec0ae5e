//! The shim: compiled when a test needs it, preloaded into the blog, and what it kept put in the place of the files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use divisi_testkit::process::Start;
use tempfile::TempDir;

/// What a disk writes at once, or not at all.
const BLOCK: usize = 4_096;

/// A compiled shim with a shadow of its own.
pub(super) struct Shim {
    library: PathBuf,
    shadow: PathBuf,
    _dir: TempDir,
}

/// What a power cut takes of what was written and not synced.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
    /// All of it.
    Everything,
    /// Some blocks, others are on the disk by chance: drawn by this seed.
    Some(u64),
}

impl Shim {
    /// Compiles it with the system's C compiler.
    pub(super) fn compiled() -> Shim {
        let dir = tempfile::tempdir().expect("a directory");
        let (library, shadow) = (dir.path().join("power.so"), dir.path().join("shadow"));
        fs::create_dir(&shadow).expect("a directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim/power.c");
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .unwrap_or_else(|error| panic!("cc, the C compiler, cannot be started: {error}"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Shim { library, shadow, _dir: dir }
    }

    /// `start`, with every sync seen.
    pub(super) fn preloaded(&self, start: Start) -> Start {
        start
            .variable("LD_PRELOAD", self.library.display().to_string())
            .variable("POWER_SHADOW", self.shadow.display().to_string())
    }

    /// The content of a file when it was last synced.
    pub(super) fn synced(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.shadow.join(name)).ok()
    }

    /// Cuts the power: the files in `data`, which nobody has open, become what the disk would have.
    pub(super) fn cut(&self, data: &Path, cut: Cut) {
        let names: BTreeSet<OsString> =
            names(data).into_iter().chain(names(&self.shadow)).filter(is_kept).collect();
        let mut random = fastrand::Rng::with_seed(if let Cut::Some(seed) = cut { seed } else { 0 });
        for name in names {
            let (file, shadow) = (data.join(&name), self.shadow.join(&name));
            let (now, synced) = (fs::read(&file).ok(), fs::read(&shadow).ok());
            let left = match (cut, &synced, &now) {
                (Cut::Everything, synced, _) => synced.clone(),
                (Cut::Some(_), synced, None) => synced.clone(),
                // Its name may be on the disk before anything in it.
                (Cut::Some(_), None, Some(now)) => Some(mixed(&[], now, &mut random)),
                (Cut::Some(_), Some(synced), Some(now)) => Some(mixed(synced, now, &mut random)),
            };
            match left {
                Some(left) => {
                    // What is on the disk now is what the next cut begins with.
                    fs::write(&shadow, &left).expect("a shadow");
                    fs::write(&file, left).expect("a file");
                }
                None => fs::remove_file(&file).unwrap_or_default(),
            }
        }
        for name in names_of_memory(data) {
            fs::remove_file(data.join(name)).expect("shared memory is gone with the power");
        }
    }
}

/// Each block as it was synced or as it was written last, and so the length.
fn mixed(synced: &[u8], now: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let length = if random.bool() { synced.len() } else { now.len() };
    let mut left = Vec::with_capacity(length);
    for at in (0..length).step_by(BLOCK) {
        let end = (at + BLOCK).min(length);
        let from = if random.bool() { synced } else { now };
        // A block that was never written reads as zeros.
        left.extend((at..end).map(|at| from.get(at).copied().unwrap_or(0)));
    }
    left
}

fn names(dir: &Path) -> Vec<OsString> {
    fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect()
}

fn names_of_memory(dir: &Path) -> Vec<OsString> {
    names(dir).into_iter().filter(|name| name.to_string_lossy().ends_with("-shm")).collect()
}

fn is_kept(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".db") || name.ends_with("-wal")
}
