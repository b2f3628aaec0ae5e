//! A password for each service: a fresh one, or the one that a file keeps.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use divisi_contract::ServiceName;

use super::file::replace;
use crate::config::Secret;

/// Random bytes of a password.
const BYTES: usize = 24;

/// Why there are no passwords.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordsError {
    /// The system has no random bytes.
    #[error("cannot draw a password")]
    Random(#[source] io::Error),
    /// The file could not be read; it is untouched.
    #[error("cannot read the passwords in {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// Its content is something else. The parser's words may repeat a password, so they stay out.
    #[error("{} is no file of passwords; a line is `posts = \"…\"`, and none is empty", .0.display())]
    Malformed(PathBuf),
    /// It could not be written; nothing has been done on the server.
    #[error("cannot write the passwords to {}", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
}

/// Nobody has a password: for a plan that is not carried out.
pub(super) fn none(services: impl Iterator<Item = ServiceName>) -> Vec<(ServiceName, Secret)> {
    services.map(|service| (service, Secret::default())).collect()
}

/// The password of each service. What `file` lacks is drawn, and written there before anything is done with it; without
/// a file all are drawn.
pub(super) fn of(
    services: impl Iterator<Item = ServiceName>,
    file: Option<&Path>,
) -> Result<Vec<(ServiceName, Secret)>, PasswordsError> {
    let mut kept = file.map(read).transpose()?.unwrap_or_default();
    let n_before = kept.len();
    let mut passwords = Vec::new();
    for service in services {
        let password = match kept.get(service.as_str()) {
            Some(password) => password.clone(),
            None => {
                let password = draw().map_err(PasswordsError::Random)?;
                kept.insert(service.as_str().to_owned(), password.clone());
                password
            }
        };
        passwords.push((service, Secret::new(password)));
    }
    if let Some(file) = file.filter(|_| kept.len() > n_before) {
        let line = |(service, password): (&String, &String)| {
            format!("{service} = {}\n", toml::Value::String(password.clone()))
        };
        replace(file, &kept.iter().map(line).collect::<String>())
            .map_err(|source| PasswordsError::Unwritable(file.to_owned(), source))?;
    }
    Ok(passwords)
}

fn read(file: &Path) -> Result<BTreeMap<String, String>, PasswordsError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(PasswordsError::Unreadable(file.to_owned(), source)),
    };
    let kept: BTreeMap<String, String> =
        toml::from_str(&text).map_err(|_| PasswordsError::Malformed(file.to_owned()))?;
    match kept.values().any(String::is_empty) {
        true => Err(PasswordsError::Malformed(file.to_owned())),
        false => Ok(kept),
    }
}

/// From the system's generator, in characters that need no escape anywhere.
fn draw() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
