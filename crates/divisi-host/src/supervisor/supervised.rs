//! The side of the child: ending with the supervisor, and telling it how things stand.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use divisi_contract::error::Chain;

use crate::supervisor::SUPERVISED_BY;

/// The exit code of a process whose supervisor is gone.
pub const EXIT_ORPHANED: i32 = 70;

/// A process that is supervised, and its line to the supervisor.
#[derive(Debug)]
pub struct Supervised {
    control: UnixStream,
}

/// Why a process that should be supervised is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The variable has no process id.
    #[error(
        "{SUPERVISED_BY} is {0:?}, but must be the process id of the supervisor; it is not for people to set"
    )]
    NoProcessId(String),
    /// The parent is another process.
    #[error("the supervisor, process {0}, is gone")]
    Orphaned(i32),
    /// Standard input is not the line to the supervisor.
    #[error("standard input does not lead to the supervisor; {SUPERVISED_BY} is not for people to set")]
    NoControl(#[source] io::Error),
    /// The system refused something.
    #[error("cannot tie this process to its supervisor")]
    System(#[source] io::Error),
}

/// Ties this process to its supervisor, if it has one: from here on it ends when the supervisor does, at once, as if
/// killed. To be called first thing in `main`, on the main thread, which alone lives as long as the process.
pub fn supervised_child_setup() -> Result<Option<Supervised>, SetupError> {
    let Some(value) = std::env::var_os(SUPERVISED_BY) else { return Ok(None) };
    let supervisor: i32 = value
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| SetupError::NoProcessId(value.to_string_lossy().into_owned()))?;
    die_with_parent().map_err(SetupError::System)?;
    // After that, not before: a parent that died in between would go unnoticed.
    if rustix::process::getppid().map(|parent| parent.as_raw_pid()) != Some(supervisor) {
        return Err(SetupError::Orphaned(supervisor));
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(SetupError::System)?;
    let control = UnixStream::from(stdin);
    control.peer_addr().map_err(SetupError::NoControl)?;
    let watched = control.try_clone().map_err(SetupError::System)?;
    // It ends with the process and owns nothing that needs an end; so nobody joins it.
    std::thread::Builder::new()
        .name("divisi-supervised".to_owned())
        .spawn(move || end_with(watched))
        .map_err(SetupError::System)?;
    Ok(Some(Supervised { control }))
}

impl Supervised {
    /// Says that this process does its work and, if it does, where it listens.
    pub fn ready(&self, address: Option<SocketAddr>) {
        match address {
            Some(address) => self.say(&format!("ready {address}")),
            None => self.say("ready"),
        }
    }

    /// Says why this process cannot start, before it exits.
    pub fn failed(&self, error: &(dyn Error + 'static)) {
        self.say(&format!("failed {}", Chain(error)));
    }

    /// A supervisor that does not listen is gone, and then this process is about to be.
    fn say(&self, line: &str) {
        let _ = (&self.control).write_all(format!("{line}\n").as_bytes());
    }
}

/// Ends the process when the supervisor's end of the line closes.
fn end_with(mut supervisor: UnixStream) {
    let mut ignored = [0; 64];
    loop {
        match supervisor.read(&mut ignored) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => std::process::exit(EXIT_ORPHANED),
        }
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// Elsewhere the end of standard input has to do.
#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> io::Result<()> {
    Ok(())
}
