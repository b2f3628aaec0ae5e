//! Running a server as somebody else than root, for those that refuse root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::Error;

/// Whom to run as, best first: the one that the package made for it, then the one that owns nothing.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Whom a server that refuses root runs as; nobody else than the caller unless that is root.
    pub(crate) fn unprivileged() -> Result<Option<Account>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = Path::new("/etc/passwd");
        let text = fs::read_to_string(passwd).map_err(Error::files("read", passwd))?;
        match USERS.iter().find_map(|user| find(&text, user)) {
            Some(account) => Ok(Some(account)),
            None => Err(Error::Missing {
                what: format!("a user to run as, {}", USERS.join(" or ")),
                hint: "add one, or do not run as root".to_owned(),
            }),
        }
    }

    /// Makes a command run as this user.
    pub(crate) fn on(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives `path` and everything below it to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        let metadata = fs::symlink_metadata(path).map_err(Error::files("look at", path))?;
        if metadata.is_symlink() {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(Error::files("give away", path))?;
        if metadata.is_dir() {
            for entry in fs::read_dir(path).map_err(Error::files("read", path))? {
                self.own(&entry.map_err(Error::files("read", path))?.path())?;
            }
        }
        Ok(())
    }

    /// Whether this user may enter every directory above `path`.
    pub(crate) fn reaches(&self, path: &Path) -> Result<(), Error> {
        for directory in path.ancestors().skip(1).filter(|directory| directory.is_absolute()) {
            let metadata = fs::metadata(directory).map_err(Error::files("look at", directory))?;
            let shift = match (metadata.uid() == self.uid, metadata.gid() == self.gid) {
                (true, _) => 6,
                (false, true) => 3,
                (false, false) => 0,
            };
            if metadata.mode() >> shift & 1 == 0 {
                let directory = directory.to_owned();
                return Err(Error::Unreachable { user: self.name.clone(), directory });
            }
        }
        Ok(())
    }
}

fn find(passwd: &str, user: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        (name == user).then(|| Account { name: name.to_owned(), uid, gid })
    })
}

#[cfg(test)]
mod tests;
