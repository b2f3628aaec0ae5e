//! Slow syncs: this program once more, with a library in front of the system's that makes each sync take 3 ms.
//!
//! What a disk without a cache of its own takes, and where sharing a sync matters most.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::SLOWED;
use super::commits::Measured;

const SOURCE: &str = include_str!("slow_sync.c");
const SYNC: Duration = Duration::from_millis(3);

/// Measures commits in a process of its own, whose syncs are slow.
pub(super) fn measure() -> anyhow::Result<Vec<Measured>> {
    let dir = tempfile::tempdir()?;
    let library = compile(dir.path())?;
    let this = std::env::current_exe().context("where is this program?")?;
    let output = Command::new(this)
        .arg(SLOWED)
        .env("LD_PRELOAD", library)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start this program once more")?;
    ensure!(output.status.success(), "the process with slow syncs failed: {}", output.status);
    serde_json::from_slice(&output.stdout).context("cannot read what the process with slow syncs found")
}

/// Makes sure that syncs are slow in this process, or the numbers would be of another disk than they say.
pub(super) fn check() -> anyhow::Result<()> {
    let mut file = tempfile::tempfile()?;
    file.write_all(b"a byte that must be on the disk")?;
    for (name, sync) in [("fsync", File::sync_all as fn(&File) -> _), ("fdatasync", File::sync_data)] {
        let start = Instant::now();
        sync(&file)?;
        ensure!(start.elapsed() >= SYNC, "{name} took {:?}: the library is not in front", start.elapsed());
    }
    Ok(())
}

fn compile(dir: &Path) -> anyhow::Result<std::path::PathBuf> {
    let (source, library) = (dir.join("slow_sync.c"), dir.join("slow_sync.so"));
    std::fs::write(&source, SOURCE)?;
    let arguments = ["-O2", "-shared", "-fPIC", "-o"].map(OsStr::new);
    let status = Command::new("cc")
        .args(arguments)
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status()
        .context("cannot start `cc`, the C compiler")?;
    ensure!(status.success(), "`cc` failed: {status}");
    Ok(library)
}
