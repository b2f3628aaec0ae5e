//! Bringing servers to this machine, through the clients of their registries.

pub(crate) mod kafka;
pub(crate) mod nats;
pub(crate) mod postgres;

use std::path::{Path, PathBuf};

use crate::cache;
use crate::error::Error;
use crate::program;

/// What to do about a server that is not there.
const HINT: &str = "run `cargo xtask servers`, which brings it";

/// A server that was installed into the cache, whole.
fn installed(name: &str, what: &str) -> Result<PathBuf, Error> {
    let place = cache::directory().join(name);
    match place.is_dir() {
        true => Ok(place),
        false => Err(Error::Missing {
            what: format!("{what} (in {})", cache::directory().display()),
            hint: HINT.to_owned(),
        }),
    }
}

/// A program that an installation needs.
fn tool(name: &str, hint: &str) -> Result<PathBuf, Error> {
    let missing = || Error::Missing { what: format!("the program `{name}`"), hint: hint.to_owned() };
    program::find(name).ok_or_else(missing)
}

/// Whether what was installed says that it is what was asked for.
fn expect_version(program: &Path, said: &str, version: &str) -> Result<(), Error> {
    let says = |word: &str| word.trim_start_matches('v') == version;
    match said.split_whitespace().any(says) {
        true => Ok(()),
        false => Err(Error::Version {
            program: program.display().to_string(),
            version: version.to_owned(),
            said: said.trim().to_owned(),
        }),
    }
}
