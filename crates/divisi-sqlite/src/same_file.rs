//! Whether a path still names the file that was opened.
//!
//! A file that is open can be removed, or another put in its place, and nothing fails: what is written goes to a file
//! that nobody finds again.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SameFile {
    device: u64,
    inode: u64,
}

impl SameFile {
    /// The file that is open.
    pub(crate) fn of(open: &Metadata) -> SameFile {
        SameFile { device: open.dev(), inode: open.ino() }
    }

    /// The file that `path` names now.
    pub(crate) fn named(path: &Path) -> io::Result<SameFile> {
        path.metadata().map(|found| SameFile::of(&found))
    }

    /// Whether `path` names it.
    pub(crate) fn is_at(self, path: &Path) -> io::Result<bool> {
        match SameFile::named(path) {
            Ok(found) => Ok(found == self),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
