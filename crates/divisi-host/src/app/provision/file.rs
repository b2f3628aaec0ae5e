//! Files with secrets in them.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Only its owner may read it.
const MODE: u32 = 0o600;

/// Puts a new file in the old one's place, so that a full disk loses nothing. Only its owner may read it, or whoever
/// could read the old one.
pub(super) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mode = fs::metadata(file).map_or(MODE, |old| old.permissions().mode());
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let _ = fs::remove_file(&beside);
    let mut new = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside)?;
    new.write_all(text.as_bytes())?;
    new.set_permissions(Permissions::from_mode(mode))?;
    new.sync_all()?;
    fs::rename(&beside, file)
}
