//! The mark beside a database that was moved elsewhere: whoever would open the file is told where it went.
//!
//! It is a file of its own, so that the database stays as it was and the way back is to remove the mark.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use divisi_contract::ServiceName;
use divisi_store::OpenError;

use crate::place::sync_directory;

/// Refuses a database that has been moved.
pub(crate) fn check(database: &Path, service: &ServiceName) -> Result<(), OpenError> {
    match read(database)? {
        None => Ok(()),
        Some(to) => {
            let (what, service) = (database.display().to_string(), service.to_string());
            Err(OpenError::Moved { what, to, service })
        }
    }
}

/// Where it has been moved, if it has.
pub(crate) fn read(database: &Path) -> Result<Option<String>, OpenError> {
    let path = path_of(database);
    match fs::read_to_string(&path) {
        // An empty mark is one still: somebody made it.
        Ok(text) => {
            let place = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
            Ok(Some(place.unwrap_or("another place").to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(&path, source)),
    }
}

/// Makes the mark. It is on the disk when this returns.
pub(crate) fn write(database: &Path, to: &str) -> Result<(), OpenError> {
    let path = path_of(database);
    let made = || {
        let mut new = path.clone().into_os_string();
        new.push(".new");
        let mut file = File::create(&new)?;
        writeln!(
            file,
            "{to}\nThe database beside this file was moved there and is not used any more; `move SERVICE --back` takes it back."
        )?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync_directory(&path)
    };
    made().map_err(|source| failed(&path, source))
}

/// Removes the mark, if there is one. It is gone from the disk when this returns.
pub(crate) fn forget(database: &Path) -> Result<(), OpenError> {
    let path = path_of(database);
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed,
    };
    removed.and_then(|()| sync_directory(&path)).map_err(|source| failed(&path, source))
}

fn path_of(database: &Path) -> PathBuf {
    database.with_extension("moved")
}

fn failed(path: &Path, source: io::Error) -> OpenError {
    OpenError::Place { what: path.display().to_string(), source }
}
