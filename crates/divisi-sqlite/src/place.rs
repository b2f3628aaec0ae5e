//! Where a database may live: a local directory that can be written.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use divisi_store::OpenError;

/// Makes sure that `dir` exists, is on a local file system and can be written.
pub(crate) fn prepare(dir: &Path) -> Result<(), OpenError> {
    let place = |source| OpenError::Place { what: dir.display().to_string(), source };
    fs::create_dir_all(dir).map_err(|error| match error.kind() {
        // Only something else than a directory is in the way.
        io::ErrorKind::AlreadyExists => place(io::ErrorKind::NotADirectory.into()),
        _ => place(error),
    })?;
    if let Some(kind) = network_file_system(dir).map_err(place)? {
        return Err(OpenError::Network { what: dir.display().to_string(), kind: kind.to_owned() });
    }
    Ok(())
}

/// Brings to the disk which files there are beside `path`.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// The kind of `dir`'s file system, if it is one whose locks and shared memory cannot be trusted.
///
/// FUSE is not refused: it is as often a local disk of a container as something far away.
#[cfg(target_os = "linux")]
fn network_file_system(dir: &Path) -> std::io::Result<Option<&'static str>> {
    const KINDS: [(u32, &str); 12] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x0102_1997, "9P"),
        (0x5346_414f, "AFS"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x0116_1970, "GFS2"),
        (0x7461_636f, "OCFS2"),
        (0x7375_7245, "Coda"),
        (0x564c, "NCP"),
    ];
    let found = rustix::fs::statfs(dir)?.f_type;
    // The magic numbers are 32 bits wide; the field's width and sign differ between machines.
    let found = (found as u64 & 0xffff_ffff) as u32;
    Ok(KINDS.iter().find(|(magic, _)| *magic == found).map(|(_, kind)| *kind))
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_dir: &Path) -> std::io::Result<Option<&'static str>> {
    Ok(None)
}
