//! One process owns a service's file.
//!
//! The lock is on a file of its own beside the database, never on the database itself: closing any descriptor of that
//! would drop the locks that SQLite holds on it.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use divisi_store::OpenError;
use rustix::fs::{FlockOperation, flock};

use crate::same_file::SameFile;

/// The lock; given back when it is dropped, or by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct Owner {
    file: File,
}

impl Owner {
    /// Takes `database` for this process, or says who has it.
    pub(crate) fn take(database: &Path, address: Option<&str>) -> Result<Owner, OpenError> {
        let path = path_of(database);
        let place = |source| OpenError::Place { what: path.display().to_string(), source };
        let mut file = loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(place)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, &path).map_err(place)? => break file,
                // Removed between the opening and the lock: a lock on it keeps nobody out.
                Ok(()) => continue,
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let what = database.display().to_string();
                    return Err(OpenError::InUse { what, owner: named(&file) });
                }
                Err(errno) => return Err(place(errno.into())),
            }
        };
        let address = address.map(|address| format!(" at {address}")).unwrap_or_default();
        file.set_len(0).map_err(place)?;
        file.rewind().map_err(place)?;
        writeln!(file, "process {}{address}", std::process::id()).map_err(place)?;
        Ok(Owner { file })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is being started elsewhere in this one has a copy of it until
        // it becomes another program. What fails here is given back by the kernel then.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Who wrote into the file that they have it. Who it is matters less than that there is somebody.
fn named(file: &File) -> String {
    let mut owner = String::new();
    match file.take(1_024).read_to_string(&mut owner) {
        Ok(_) if !owner.trim().is_empty() => owner.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    SameFile::of(&file.metadata()?).is_at(path)
}

fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".owner");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
