//! A server's directory, and copies of directories.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::Error;

/// How much of a file with holes is looked at in one piece.
const BLOCK: usize = 64 * 1024;

/// Where a server lives: a place that was named, or one that is removed with it.
#[derive(Debug)]
pub(crate) enum Directory {
    Named(PathBuf),
    Temporary(TempDir),
}

impl Directory {
    /// `named`, made if it is not there; else a temporary one that other users may enter.
    pub(crate) fn new(named: Option<&Path>, prefix: &str) -> Result<Directory, Error> {
        if let Some(path) = named {
            fs::create_dir_all(path).map_err(Error::files("make", path))?;
            let path = path.canonicalize().map_err(Error::files("find", path))?;
            return Ok(Directory::Named(path));
        }
        let parent = std::env::temp_dir();
        let directory = tempfile::Builder::new()
            .prefix(&format!("divisi-{prefix}-"))
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(&parent)
            .map_err(Error::files("make a directory in", &parent))?;
        Ok(Directory::Temporary(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Directory::Named(path) => path,
            Directory::Temporary(directory) => directory.path(),
        }
    }

    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Directory::Temporary(_))
    }
}

/// Copies `from` with everything below it to `to`, which is replaced: modes, links, holes, and owners if root
/// does it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    remove(to)?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(Error::files("make", parent))?;
    }
    copy_entry(from, to, rustix::process::geteuid().is_root())
}

/// Removes `path` with everything below it, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::files("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn copy_entry(from: &Path, to: &Path, with_owner: bool) -> Result<(), Error> {
    let metadata = fs::symlink_metadata(from).map_err(Error::files("look at", from))?;
    if metadata.is_symlink() {
        let target = fs::read_link(from).map_err(Error::files("read", from))?;
        return symlink(target, to).map_err(Error::files("link", to));
    }
    if metadata.is_dir() {
        fs::create_dir(to).map_err(Error::files("make", to))?;
        for entry in fs::read_dir(from).map_err(Error::files("read", from))? {
            let entry = entry.map_err(Error::files("read", from))?;
            copy_entry(&entry.path(), &to.join(entry.file_name()), with_owner)?;
        }
        fs::set_permissions(to, metadata.permissions()).map_err(Error::files("set the mode of", to))?;
    } else if metadata.blocks() * 512 < metadata.len() {
        copy_with_holes(from, to).map_err(Error::files("copy to", to))?;
        fs::set_permissions(to, metadata.permissions()).map_err(Error::files("set the mode of", to))?;
    } else {
        fs::copy(from, to).map_err(Error::files("copy to", to))?;
    }
    if with_owner {
        chown(to, Some(metadata.uid()), Some(metadata.gid())).map_err(Error::files("give away", to))?;
    }
    Ok(())
}

/// Copies a file that is larger than what it takes on the disk, as a broker's indexes are, and keeps it so.
fn copy_with_holes(from: &Path, to: &Path) -> std::io::Result<()> {
    let (mut source, mut target) = (File::open(from)?, File::create(to)?);
    let length = source.metadata()?.len();
    let (mut block, zeros) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let n_read = source.read(&mut block)?;
        if n_read == 0 {
            return target.set_len(length);
        }
        if block[..n_read] == zeros[..n_read] {
            target.seek(SeekFrom::Current(i64::try_from(n_read).unwrap_or_default()))?;
        } else {
            target.write_all(&block[..n_read])?;
        }
    }
}

#[cfg(test)]
mod tests;
