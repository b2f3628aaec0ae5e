//! How a process ended, in words.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

/// How a process ended: `was killed by SIGKILL`, `exited with code 1`.
pub(super) struct Ending(pub(super) ExitStatus);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(0), _) => f.write_str("ended"),
            (Some(code), _) => write!(f, "exited with code {code}"),
            (None, Some(number)) => match name(number) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {number}"),
            },
            (None, None) => write!(f, "ended: {}", self.0),
        }
    }
}

/// The signals that end processes in practice. Their numbers differ between systems.
fn name(number: i32) -> Option<&'static str> {
    const NAMES: [(Signal, &str); 12] = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::HUP, "SIGHUP"),
        (Signal::ILL, "SIGILL"),
        (Signal::INT, "SIGINT"),
        (Signal::KILL, "SIGKILL"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::TERM, "SIGTERM"),
        (Signal::TRAP, "SIGTRAP"),
    ];
    NAMES.iter().find(|(signal, _)| signal.as_raw() == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_told_in_words() {
        let table = [
            (0, "ended"),
            (1 << 8, "exited with code 1"),
            (9, "was killed by SIGKILL"),
            (11 | 0x80, "was killed by SIGSEGV"),
            (27, "was killed by signal 27"),
        ];
        for (status, words) in table {
            assert_eq!(Ending(ExitStatus::from_raw(status)).to_string(), words);
        }
    }
}
