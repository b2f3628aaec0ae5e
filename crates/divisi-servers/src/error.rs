//! Why something could not be done with a server.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why something could not be done with a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not on this machine.
    #[error("{what} is missing: {hint}")]
    Missing {
        /// What is missing.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A file or directory could not be read or written.
    #[error("cannot {step} {}", path.display())]
    Files {
        /// What was tried.
        step: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`")]
    Spawn {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that should do something and end said that it failed.
    #[error("`{program}` failed with {status}; it said:\n{output}")]
    Failed {
        /// Its name and arguments.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        output: String,
    },
    /// What was installed is not what was asked for.
    #[error("`{program}` should be version {version}, but says `{said}`")]
    Version {
        /// The program.
        program: String,
        /// What was asked for.
        version: String,
        /// What it says of itself.
        said: String,
    },
    /// A server runs as another user, since it refuses to run as root, and that user may not enter a directory.
    #[error("the user `{user}`, as which the server must run, may not enter {}: choose another directory", directory.display())]
    Unreachable {
        /// The user.
        user: String,
        /// The directory.
        directory: PathBuf,
    },
    /// No port could be had, or the one that the server had before is taken.
    #[error("cannot have the port {port} on loopback")]
    Port {
        /// The port; 0 for any.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs a server in the same directory.
    #[error("{} is in use: another server runs there", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The server ended instead of getting ready.
    #[error("{server} ended with {status} before it was ready; its log ends with:\n{log}")]
    Ended {
        /// Which server.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The server did not do something in time.
    #[error("{server} was not {what} within {within:?}: {seen}; its log ends with:\n{log}")]
    Late {
        /// Which server.
        server: &'static str,
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
        /// What was last seen.
        seen: String,
        /// The end of its log.
        log: String,
    },
    /// That needs a server that does not run.
    #[error("{server} runs: stop it first")]
    Runs {
        /// Which server.
        server: &'static str,
    },
    /// That needs a server that runs.
    #[error("{server} does not run: start it first")]
    Stopped {
        /// Which server.
        server: &'static str,
    },
    /// A signal could not be sent.
    #[error("cannot signal a process of {server}")]
    Signal {
        /// Which server.
        server: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime ended meanwhile.
    #[error("the runtime ended before it was done")]
    Interrupted,
}

impl Error {
    /// For `map_err`: what was tried, and with which path.
    pub(crate) fn files<'a>(step: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Files { step, path: path.to_owned(), source }
    }
}
