//! Where a service's process listens for its operator: `DATA/SERVICE.operator`, for its own user alone.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// The longest path of a socket: `sun_path` less its closing zero. 107 on Linux, 103 on what comes from BSD.
#[cfg(target_os = "linux")]
const PATH_BYTES_MAX: usize = 107;
#[cfg(not(target_os = "linux"))]
const PATH_BYTES_MAX: usize = 103;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 16;

/// Why a process cannot be asked, or cannot be reached to ask it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SocketError {
    /// The system has no room for the path.
    #[error(
        "the path {} is too long for a socket, which may have {PATH_BYTES_MAX} bytes; use a shorter data directory",
        .0.display()
    )]
    TooLong(PathBuf),
    /// Everybody could put a socket of his own in its place.
    #[error("{} may be written by everybody (mode {mode:o}), so no operator's commands are taken there", dir.display())]
    OpenToAll { dir: PathBuf, mode: u32 },
    /// Something else has the name.
    #[error("{} is there and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A socket that is listened at. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

/// Where a service's socket is, and a way there that the system has room for.
struct Address {
    path: PathBuf,
    reach: PathBuf,
    /// Holds the directory open while `reach` leads through it.
    _dir: Option<File>,
}

/// Listens for commands to `service`, whose databases in `data` this process owns.
///
/// A socket that is there already is what a process left that died: its place is taken. There must be a runtime.
pub(crate) fn listen(data: &Path, service: &str) -> Result<Listening, SocketError> {
    // There is none yet where databases are on a server.
    fs::create_dir_all(data).map_err(|source| SocketError::Io { path: data.to_owned(), source })?;
    let address = Address::of(data, service)?;
    let failed = |source| SocketError::Io { path: address.path.clone(), source };
    let mode = fs::metadata(data).map_err(failed)?.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(SocketError::OpenToAll { dir: data.to_owned(), mode });
    }
    match fs::symlink_metadata(&address.path) {
        Ok(left) if left.file_type().is_socket() => fs::remove_file(&address.path).map_err(failed)?,
        Ok(_) => return Err(SocketError::NoSocket(address.path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let socket = UnixSocket::new_stream().map_err(failed)?;
    // On Linux the file is born with the mode of the socket, so that nobody can slip in before it is narrowed.
    fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(errno.into()))?;
    socket.bind(&address.reach).map_err(failed)?;
    fs::set_permissions(&address.path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    Ok(Listening { listener, path: address.path })
}

/// A connection to the process that runs `service`; `None` when none listens.
pub(super) async fn connect(data: &Path, service: &str) -> Result<Option<UnixStream>, SocketError> {
    let address = match Address::of(data, service) {
        Err(SocketError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        address => address?,
    };
    match UnixStream::connect(&address.reach).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(source) => Err(SocketError::Io { path: address.path, source }),
    }
}

impl Address {
    fn of(data: &Path, service: &str) -> Result<Address, SocketError> {
        let name = format!("{service}.operator");
        let path = data.join(&name);
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(Address { reach: path.clone(), path, _dir: None });
        }
        // A directory that is open has a short name on Linux, wherever it is.
        let short = Path::new("/proc/self/fd");
        if !short.is_dir() {
            return Err(SocketError::TooLong(path));
        }
        let dir = File::open(data).map_err(|source| SocketError::Io { path: data.to_owned(), source })?;
        let reach = short.join(dir.as_raw_fd().to_string()).join(name);
        if reach.as_os_str().len() > PATH_BYTES_MAX {
            return Err(SocketError::TooLong(path));
        }
        Ok(Address { path, reach, _dir: Some(dir) })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // One that stays is a file that the next start replaces.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
