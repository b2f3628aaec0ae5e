//! The servers that tests and `cargo xtask up` need: found, or brought to this machine.

use anyhow::bail;
use divisi_servers::{Error, kafka, nats, postgres};

/// Finds a server or brings it, and answers its version.
type Install = fn() -> Result<String, Error>;

/// How each is found or brought.
const SERVERS: [(&str, Install); 3] =
    [("postgres", postgres::install), ("nats", nats::install), ("kafka", kafka::install)];

/// Makes sure that all of them are there, so that no test has to do without; fails with everything that is
/// missing.
pub(crate) fn servers() -> anyhow::Result<()> {
    install(&SERVERS.map(|(name, _)| name))
}

/// What they are, in words.
pub(crate) fn versions() -> String {
    let version = |(name, install): &(&str, Install)| match install() {
        Ok(version) => format!("{name} {version}"),
        Err(_) => format!("{name} of no known version"),
    };
    SERVERS.iter().map(version).collect::<Vec<_>>().join(", ")
}

/// Makes sure that the named ones are there.
pub(crate) fn install(names: &[&str]) -> anyhow::Result<()> {
    eprintln!("── servers, in {} if the distribution has none", divisi_servers::cache_directory().display());
    let mut missing = Vec::new();
    for (name, install) in SERVERS.iter().filter(|(name, _)| names.contains(name)) {
        match install() {
            Ok(version) => eprintln!("   {name} {version}"),
            Err(error) => missing.push(format!("{name}: {:#}", anyhow::Error::new(error))),
        }
    }
    if !missing.is_empty() {
        bail!("not every server is there:\n  {}", missing.join("\n  "));
    }
    Ok(())
}
