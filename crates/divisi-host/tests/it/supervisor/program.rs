//! The example as a process: its lines, its end, signals to it.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test gives up. Far above what is needed, for slow machines.
const WITHIN: Duration = Duration::from_secs(20);

/// The example, built beside this test: by `cargo test`, but not by `cargo test --test it`.
pub(super) fn executable() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let path = test.ancestors().nth(2).expect("it is in a target directory").join("examples/supervised");
    assert!(path.exists(), "build it first: cargo build -p divisi-host --example supervised");
    path
}

/// A running example; it is killed when dropped.
pub(super) struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    pub(super) fn start(arguments: &[&str]) -> Program {
        let mut child = Command::new(executable())
            .args(arguments)
            .env("DIVISI_TERMINAL", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        read(child.stdout.take().unwrap(), sender.clone());
        read(child.stderr.take().unwrap(), sender);
        Program { child, lines, seen: Vec::new() }
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The next line that has both texts, wherever it is written.
    pub(super) fn line(&mut self, one: &str, other: &str) -> String {
        self.find(&format!("`{one}` and `{other}`"), |line| line.contains(one) && line.contains(other))
    }

    /// The next line of which `wanted` is true.
    pub(super) fn line_where(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        self.find("what the test wants", wanted)
    }

    fn find(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + WITHIN;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(end) => {
                    let how = if end == RecvTimeoutError::Timeout { "in time" } else { "before the end" };
                    panic!("no line with {what} {how}; there were:\n{}", self.seen.join("\n"));
                }
            }
        }
    }

    pub(super) fn wait(&mut self) -> ExitStatus {
        eventually("it ends", || self.child.try_wait().unwrap(), Option::is_some).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stream: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

pub(super) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether the process runs; one that has ended and that nobody waited for does not.
pub(super) fn is_alive(pid: i32) -> bool {
    let state = |stat: String| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z'));
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| state(stat) == Some(false))
}

/// Looks until it is `done`; fails with what it last saw.
pub(super) fn eventually<T: Debug>(what: &str, mut look: impl FnMut() -> T, done: impl Fn(&T) -> bool) -> T {
    let until = Instant::now() + WITHIN;
    loop {
        let seen = look();
        if done(&seen) {
            return seen;
        }
        assert!(Instant::now() < until, "not in time: {what}; last seen: {seen:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
