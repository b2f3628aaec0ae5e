//! The processes of one server: started under a guard, signalled together, gone together.

mod tree;

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::account::Account;
use crate::error::Error;
use crate::program::tail;

/// Becomes the server, and leaves a shell beside it that ends it when this process is gone.
const GUARD: &str = include_str!("process/guard.sh");

/// Between two looks. 5 ms: a server starts in a hundred, and a look costs a system call or two.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long processes that were killed may take to be gone. 10 s: only a machine that does much else needs more
/// than one.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How long somebody else may still have a directory. 6 s: a guard gives its server three to end in order.
const FREE_WITHIN: Duration = Duration::from_secs(6);

/// How long processes may take to stand still. 30 s: one that waits for a disk does so when it has it.
const FROZEN_WITHIN: Duration = Duration::from_secs(30);

/// How much of a log is read for an error.
const LOG_BYTES: u64 = 16 * 1024;

/// What to start, and as whom.
#[derive(Debug)]
pub struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) variables: Vec<(&'static str, OsString)>,
    pub(crate) account: Option<Account>,
    /// What ends it in order.
    pub(crate) ending: Signal,
}

/// A server that was started.
#[derive(Debug)]
pub(crate) struct Running {
    server: &'static str,
    child: Child,
    guard: Option<ChildStdin>,
    log: Log,
}

/// What a server says. It is also its lock: every process of the server holds the file open, and so the lock on
/// it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: PathBuf,
    /// Where this start of the server began to write.
    start: u64,
}

impl Running {
    /// Starts a server in `home`. `temporary` is removed by the guard when this process is killed.
    pub(crate) fn start(
        server: &'static str,
        launch: Launch,
        home: &Path,
        temporary: bool,
    ) -> Result<Running, Error> {
        let (log, file) = Log::open(home)?;
        let errors = file.try_clone().map_err(Error::files("open again", &log.path))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "divisi-guard", &launch.ending.as_raw().to_string()])
            .arg(if temporary { home.as_os_str() } else { "".as_ref() })
            .arg(&launch.program)
            .args(&launch.arguments)
            .envs(launch.variables)
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(errors)
            // Ctrl-C at a terminal reaches this process alone, which ends its servers in order.
            .process_group(0);
        if let Some(account) = &launch.account {
            account.on(&mut command);
        }
        let program = launch.program.display().to_string();
        let mut child = command.spawn().map_err(|source| Error::Spawn { program, source })?;
        let guard = child.stdin.take();
        Ok(Running { server, child, guard, log })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it says.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Sends a signal to the first process alone.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        // As long as nobody has asked how it ended its number belongs to it; afterwards perhaps to somebody else.
        match (self.ended(), self.pid()) {
            (None, Some(pid)) => self.send(pid, signal),
            _ => Ok(()),
        }
    }

    /// Stops all its processes where they are, and waits until they stand still: the signal alone only asks them
    /// to.
    pub(crate) fn freeze(&mut self) -> Result<(), Error> {
        if self.stand_still()? {
            return Ok(());
        }
        let running = self.pid().map(tree::running).unwrap_or_default();
        Err(self.late("frozen", FROZEN_WITHIN, format!("threads still run: {}", running.join(", "))))
    }

    /// Lets them go on.
    pub(crate) fn thaw(&mut self) -> Result<(), Error> {
        self.all(Signal::CONT)
    }

    /// Waits until it has ended by itself, and all its processes with it.
    pub(crate) fn wait(&mut self, within: Duration) -> Result<(), Error> {
        let ended = look_until(within, || self.ended().is_some());
        if !ended {
            return Err(self.late("gone", within, "it still runs".to_owned()));
        }
        self.release();
        self.wait_for_the_rest(within)
    }

    /// Kills all its processes and waits until they are gone.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        // None that still runs can notice that another one was killed, or start one that nobody sees. Whoever
        // does not stand still is killed all the same.
        self.stand_still()?;
        self.all(Signal::KILL)?;
        self.child.wait().map_err(|source| Error::Signal { server: self.server, source })?;
        self.release();
        self.wait_for_the_rest(GONE_WITHIN)
    }

    fn stand_still(&mut self) -> Result<bool, Error> {
        let Some(first) = self.pid() else { return Ok(true) };
        let mut stopped = Ok(());
        // Again at each look: a list of children may lack one while others of them end.
        let stands = look_until(FROZEN_WITHIN, || {
            stopped = self.all(Signal::STOP);
            stopped.is_err() || self.ended().is_some() || tree::running(first).is_empty()
        });
        stopped.map(|()| stands)
    }

    pub(crate) fn late(&self, what: &'static str, within: Duration, seen: String) -> Error {
        Error::Late { server: self.server, what, within, seen, log: self.log.end() }
    }

    fn wait_for_the_rest(&self, within: Duration) -> Result<(), Error> {
        match look_until(within, || self.log.is_free()) {
            true => Ok(()),
            false => Err(self.late("gone", within, "some of its processes still run".to_owned())),
        }
    }

    /// Tells the guard that there is nothing left to guard.
    fn release(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            // A guard that does not listen has ended.
            let _ = guard.write_all(b"ended\n");
        }
    }

    fn all(&mut self, signal: Signal) -> Result<(), Error> {
        let (None, Some(first)) = (self.ended(), self.pid()) else { return Ok(()) };
        let mut done = Vec::new();
        // Until there is no new one: a process that was not reached yet may have started more.
        loop {
            let new: Vec<Pid> = tree::of(first).into_iter().filter(|pid| !done.contains(pid)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for pid in new {
                self.send(pid, signal)?;
                done.push(pid);
            }
        }
    }

    fn send(&self, pid: Pid, signal: Signal) -> Result<(), Error> {
        match rustix::process::kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(Error::Signal { server: self.server, source: error.into() }),
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }
}

impl Log {
    /// Opens the log in `home` and waits until nobody else has it.
    fn open(home: &Path) -> Result<(Log, File), Error> {
        let path = home.join("log");
        let file =
            OpenOptions::new().create(true).append(true).open(&path).map_err(Error::files("open", &path))?;
        if !look_until(FREE_WITHIN, || lock(&file)) {
            return Err(Error::InUse { directory: home.to_owned() });
        }
        let start = file.metadata().map_err(Error::files("look at", &path))?.len();
        Ok((Log { path, start }, file))
    }

    fn is_free(&self) -> bool {
        File::open(&self.path).is_ok_and(|file| lock(&file))
    }

    /// The end of what was said since this start.
    pub(crate) fn end(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.start.max(length.saturating_sub(LOG_BYTES))))?;
            let mut bytes = Vec::new();
            file.take(LOG_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => tail(&String::from_utf8_lossy(&bytes)).to_owned(),
            Err(error) => format!("(cannot read {}: {error})", self.path.display()),
        }
    }
}

fn lock(file: &File) -> bool {
    // Where there are no locks at all nothing is protected, and nothing waits for ever.
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Waits until no server runs in `home`: one whose starter was killed takes a moment to end.
pub(crate) fn wait_until_free(home: &Path) -> Result<(), Error> {
    Log::open(home).map(drop)
}

/// Looks again and again until `done`, and answers whether that came in time.
pub(crate) fn look_until(within: Duration, mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if done() {
            return true;
        }
        if began.elapsed() >= within {
            return false;
        }
        sleep(LOOK_EVERY);
    }
}
