//! An app as the real processes that a user starts: killed, stopped and started again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);
/// How long an orderly end may take.
const END: Duration = Duration::from_secs(20);

/// How an app is started; kept, so that it can be started again the same way.
#[derive(Debug, Clone)]
pub struct Start {
    program: PathBuf,
    listen: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

/// A running app: one process, or a supervisor with one a service.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Start {
    /// `program` with its data in `data`, on a port that the system chooses.
    pub fn new(program: impl Into<PathBuf>, data: &Path) -> Start {
        let listen = "127.0.0.1:0".to_owned();
        let start = Start { program: program.into(), listen, arguments: Vec::new(), variables: Vec::new() };
        start.with("run").with("--data").with(data.display().to_string())
    }

    /// The same at `address`, so that clients find it again.
    #[must_use]
    pub fn listening(mut self, address: SocketAddr) -> Start {
        self.listen = address.to_string();
        self
    }

    /// The same with one more argument.
    #[must_use]
    pub fn with(mut self, argument: impl Into<String>) -> Start {
        self.arguments.push(argument.into());
        self
    }

    /// The same with one more variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Start {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it and waits until it says where it listens for HTTP.
    ///
    /// # Panics
    ///
    /// When it ends before, with all that it said.
    pub fn start(&self) -> (Process, SocketAddr) {
        let mut process = self.spawn();
        let address = process.wait_for("where it listens", |output| {
            let rest = output.split("http://").nth(1)?;
            rest.split(|c: char| c.is_whitespace() || c == '/').next()?.parse().ok()
        });
        (process, address)
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    ///
    /// When the program cannot be started at all.
    pub fn spawn(&self) -> Process {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .args(["--listen", &self.listen])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DIVISI_") {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let output = Arc::new(Mutex::new(String::new()));
        let mut readers = Vec::new();
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            readers.push(collect(out, Arc::clone(&output)));
            readers.push(collect(err, Arc::clone(&output)));
        }
        Process { child, output, readers }
    }
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processes that it started and that run now.
    pub fn children(&self) -> Vec<u32> {
        children_of(self.pid())
    }

    /// All that it has said so far, on both outputs.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what it says satisfies `find`.
    ///
    /// # Panics
    ///
    /// When it ends before, or takes too long.
    pub fn wait_for<T>(&mut self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let mut found = None;
        let (child, output) = (&mut self.child, &self.output);
        let text = || output.lock().unwrap_or_else(PoisonError::into_inner).clone();
        eventually(
            what,
            START,
            || (child.try_wait().ok().flatten(), text()),
            |(ended, text)| {
                found = find(text);
                assert!(found.is_some() || ended.is_none(), "it ended with {ended:?} before {what}:\n{text}");
                found.is_some()
            },
        );
        found.unwrap_or_else(|| panic!("{what} was found and lost"))
    }

    /// Kills it with SIGKILL, so that nothing is tidied up, and waits until it is gone.
    pub fn kill(&mut self) {
        send(self.pid(), Signal::KILL);
        // It has been killed: there is an end to wait for.
        let _ = self.child.wait();
    }

    /// Asks it to end, as Ctrl-C does, and brings how it ended.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn stop(mut self) -> (ExitStatus, String) {
        send(self.pid(), Signal::INT);
        let status = self.ended();
        (status, self.all_output())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn ended(&mut self) -> ExitStatus {
        let output = self.output();
        let child = &mut self.child;
        let status = eventually("an end", END, || child.try_wait().ok().flatten(), Option::is_some);
        status.unwrap_or_else(|| panic!("no status; it said:\n{output}"))
    }

    /// All that it said, once it has ended.
    pub fn all_output(&mut self) -> String {
        for reader in self.readers.drain(..) {
            // A reader only reads; it cannot panic in a way that matters here.
            let _ = reader.join();
        }
        self.output()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

/// Sends a signal to a process of the test's own; one that is gone already is fine.
pub fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The processes whose parent is `pid`.
pub fn children_of(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn collect(from: impl std::io::Read + Send + 'static, output: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&line);
            output.push('\n');
        }
    })
}
