//! Where PostgreSQL is on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::program;

/// The oldest version that will do.
const OLDEST: u32 = 15;

/// Where Debian and its children put each version's programs, below a directory named by it.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What is needed of it.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "psql", "pg_basebackup"];

/// The programs of one version of PostgreSQL.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
    version: String,
}

impl Binaries {
    /// Finds the newest version on this machine, among those of the distribution and the one on the path.
    pub fn find() -> Result<Binaries, Error> {
        let packaged = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
        let on_path = program::find("initdb").and_then(|initdb| initdb.canonicalize().ok());
        let on_path = on_path.and_then(|initdb| Some(initdb.parent()?.to_owned()));
        let directories = on_path.into_iter().chain(packaged.map(|entry| entry.path().join("bin")));
        let found = directories.filter_map(|directory| {
            let version = version(&directory)?;
            Some((major(&version)?, Binaries { directory, version }))
        });
        match found.max_by_key(|(major, _)| *major) {
            Some((major, binaries)) if major >= OLDEST => Ok(binaries),
            found => Err(Error::Missing {
                what: match found {
                    Some((_, old)) => {
                        format!("PostgreSQL {OLDEST} or newer (there is {} of it)", old.version)
                    }
                    None => format!("PostgreSQL {OLDEST} or newer"),
                },
                hint: "run `cargo xtask servers`, or `apt-get install postgresql` as root".to_owned(),
            }),
        }
    }

    /// Its version, as it says it: `15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.directory.join(program)
    }

    /// One of its programs, `psql` or `pgbench`, without what the caller's environment would set for it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        command
    }
}

/// `initdb (PostgreSQL) 15.18 (Debian …)`, of a directory that has a server and not only its clients.
fn version(directory: &Path) -> Option<String> {
    if !PROGRAMS.iter().all(|program| directory.join(program).is_file()) {
        return None;
    }
    let said = program::run(Command::new(directory.join("initdb")).arg("--version")).ok()?;
    said.split_whitespace().nth(2).map(str::to_owned)
}

fn major(version: &str) -> Option<u32> {
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_first_number() {
        assert_eq!(
            [major("15.18"), major("19beta1"), major("9.6.2"), major("?")],
            [Some(15), Some(19), Some(9), None]
        );
    }
}
