//! Named points at which a test can kill, stop or fail the process.
//!
//! Compiled in with the feature `failpoints` alone. `DIVISI_FAIL="commit.before=kill@7;append.after=error"` kills the
//! process (`SIGKILL`, so that nothing is tidied up) at the seventh passing of `commit.before` and lets every passing
//! of `append.after` fail.

/// Whether this program has its points; without them nothing that `DIVISI_FAIL` says happens.
pub const COMPILED_IN: bool = cfg!(feature = "failpoints");

/// A point passed: does what `DIVISI_FAIL` or [`set`] says of it; `true` asks the caller to fail.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) -> bool {
    false
}

#[cfg(feature = "failpoints")]
pub use on::{hit, set};

#[cfg(feature = "failpoints")]
mod on {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    #[derive(Clone, Copy)]
    enum Action {
        Kill,
        Stop,
        Panic,
        Error,
        Sleep(u64),
    }

    struct Point {
        action: Action,
        at: Option<u64>,
        passed: u64,
    }

    static POINTS: LazyLock<Mutex<HashMap<String, Point>>> = LazyLock::new(|| {
        Mutex::new(std::env::var("DIVISI_FAIL").map(|text| parse(&text)).unwrap_or_default())
    });

    fn parse(text: &str) -> HashMap<String, Point> {
        text.split(';').filter(|part| !part.trim().is_empty()).map(point).collect()
    }

    fn point(text: &str) -> (String, Point) {
        let read = || {
            let (name, rest) = text.trim().split_once('=')?;
            let (action, at) = match rest.split_once('@') {
                Some((action, at)) => (action, Some(at.parse().ok()?)),
                None => (rest, None),
            };
            let action = match action {
                "kill" => Action::Kill,
                "stop" => Action::Stop,
                "panic" => Action::Panic,
                "error" => Action::Error,
                _ => Action::Sleep(action.strip_prefix("sleep:")?.parse().ok()?),
            };
            Some((name.to_owned(), Point { action, at, passed: 0 }))
        };
        // A test that misspells a failpoint must not pass by accident.
        read()
            .unwrap_or_else(|| panic!("DIVISI_FAIL: `{text}` is not NAME=kill|stop|panic|error|sleep:MS[@N]"))
    }

    /// Replaces all points by those that `text` names, in the form of `DIVISI_FAIL`.
    pub fn set(text: &str) {
        *POINTS.lock().unwrap_or_else(PoisonError::into_inner) = parse(text);
    }

    /// A point passed: does what `DIVISI_FAIL` or [`set`] says of it; `true` asks the caller to fail.
    pub fn hit(name: &str) -> bool {
        let action = {
            let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(point) = points.get_mut(name) else { return false };
            point.passed += 1;
            if point.at.is_some_and(|at| at != point.passed) {
                return false;
            }
            point.action
        };
        match action {
            Action::Kill => signal(rustix::process::Signal::KILL),
            Action::Stop => signal(rustix::process::Signal::STOP),
            Action::Panic => panic!("failpoint {name}"),
            Action::Error => return true,
            Action::Sleep(ms) => std::thread::sleep(std::time::Duration::from_millis(ms)),
        }
        false
    }

    fn signal(signal: rustix::process::Signal) {
        let sent = rustix::process::kill_process(rustix::process::getpid(), signal);
        assert!(sent.is_ok(), "cannot send {signal:?} to this process");
    }
}
