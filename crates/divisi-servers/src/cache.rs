//! Where installed servers are kept, and how one gets there: whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Names another place for what is installed.
///
/// It does not begin with `DIVISI_`: an app that a test starts takes such a variable for a setting.
const VARIABLE: &str = "TEST_SERVERS_DIR";

/// Where servers and templates are kept: `$TEST_SERVERS_DIR`, else `servers` in cargo's target directory.
///
/// Nothing is there that could not be made again.
pub fn directory() -> PathBuf {
    let directory = match std::env::var_os(VARIABLE) {
        Some(chosen) if !chosen.is_empty() => chosen.into(),
        _ => target_directory().join("servers"),
    };
    // Servers are started in directories of their own.
    std::path::absolute(&directory).unwrap_or(directory)
}

/// The files by which cargo's target directory is known, whoever named it. Cargo writes the first only into a directory
/// that it made itself.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", ".rustc_info.json"];

/// The program that runs now lies in it.
fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let is_marked = |directory: &Path| MARKS.iter().any(|mark| directory.join(mark).exists());
    match program.ancestors().find(|directory| is_marked(directory)) {
        Some(directory) => directory.to_owned(),
        None => std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from),
    }
}

/// Makes the directory `name` in the cache with `fill`, unless it is there, and answers where it is.
///
/// `fill` writes into a directory beside it that gets its name only when all went well; so two that do this at
/// once cannot meet, and whoever comes second throws its work away.
pub(crate) fn once(name: &str, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<PathBuf, Error> {
    let cache = directory();
    let place = cache.join(name);
    if place.is_dir() {
        return Ok(place);
    }
    fs::create_dir_all(&cache).map_err(Error::files("make", &cache))?;
    let unfinished = tempfile::Builder::new()
        .prefix(".unfinished-")
        .tempdir_in(&cache)
        .map_err(Error::files("make a directory in", &cache))?;
    let filled = unfinished.path().join(name);
    fs::create_dir(&filled).map_err(Error::files("make", &filled))?;
    fill(&filled)?;
    match fs::rename(&filled, &place) {
        Ok(()) => Ok(place),
        Err(_) if place.is_dir() => Ok(place),
        Err(error) => Err(Error::files("name", &place)(error)),
    }
}
