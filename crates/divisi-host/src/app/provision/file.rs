//! Files with secrets in them.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

/// Only its owner may read it.
const MODE: u32 = 0o600;

/// Puts a new file in the old one's place, so that a full disk loses nothing. Only its owner may read it, or whoever
/// could read the old one: a server that reads it may be another user of this machine.
pub(super) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let _ = fs::remove_file(&beside);
    let mut new = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside)?;
    new.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(file) {
        let made = new.metadata()?;
        if (old.uid(), old.gid()) != (made.uid(), made.gid()) {
            fchown(&new, Some(old.uid()), Some(old.gid()))?;
        }
        new.set_permissions(Permissions::from_mode(old.permissions().mode()))?;
    }
    new.sync_all()?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_its_owners_and_a_replaced_one_is_read_by_whoever_could() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("users.conf");
        let mode = || fs::metadata(&file).expect("the file").permissions().mode() & 0o777;
        replace(&file, "one").expect("written");
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("it is ours");
        replace(&file, "two").expect("written");
        assert_eq!((mode(), fs::read_to_string(&file).expect("the file").as_str()), (0o640, "two"));
        assert_eq!(
            fs::read_dir(directory.path()).expect("the directory").count(),
            1,
            "nothing is left beside"
        );
    }
}
