//! An empty cluster, made once a machine and then copied: initdb takes a second or more.

use std::path::Path;

use crate::account::Account;
use crate::directory;
use crate::error::Error;
use crate::postgres::binaries::Binaries;
use crate::postgres::{PASSWORD, USER};
use crate::{cache, program};

/// Copies an empty cluster to `data`.
pub(super) fn copy(binaries: &Binaries, account: Option<&Account>, data: &Path) -> Result<(), Error> {
    let name = format!("postgres-{}-empty", binaries.version());
    let template = cache::once(&name, |place| make(binaries, account, place))?;
    directory::copy(&template, data)
}

fn make(binaries: &Binaries, account: Option<&Account>, place: &Path) -> Result<(), Error> {
    // Whoever initdb must run as may not be able to enter the cache.
    let outside = directory::Directory::new(None, "initdb")?;
    let password = outside.path().join("password");
    std::fs::write(&password, PASSWORD).map_err(Error::files("write", &password))?;
    let mut initdb = binaries.command("initdb");
    initdb
        .args(["--no-sync", "--encoding=UTF8", "--no-locale", "--auth=scram-sha-256", "--username", USER])
        .arg("--pwfile")
        .arg(&password)
        .arg("--pgdata")
        .arg(outside.path().join("data"))
        .current_dir(outside.path());
    if let Some(account) = account {
        account.reaches(outside.path())?;
        account.own(outside.path())?;
        account.on(&mut initdb);
    }
    program::run(&mut initdb)?;
    directory::copy(&outside.path().join("data"), place)
}
