//! PostgreSQL from the distribution.

use std::process::Command;

use crate::error::Error;
use crate::postgres::Binaries;
use crate::program;

/// Finds PostgreSQL, or installs it if this is root on a distribution that has `apt-get`.
pub(crate) fn install() -> Result<Binaries, Error> {
    let missing = match Binaries::find() {
        Err(error @ Error::Missing { .. }) => error,
        found => return found,
    };
    let Some(apt) = program::find("apt-get").filter(|_| rustix::process::geteuid().is_root()) else {
        return Err(missing);
    };
    let apt = || {
        let mut command = Command::new(&apt);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    program::run(apt().arg("update"))?;
    program::run(apt().args(["install", "--yes", "--no-install-recommends", "postgresql"]))?;
    Binaries::find()
}
