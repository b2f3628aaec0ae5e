//! What all servers have in common: a directory, a port, a life.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::directory::{self, Directory};
use crate::error::Error;
use crate::port::Port;
use crate::process::{self, Launch, Log, Running, look_until};

/// How long a start may take. 60 s: the slowest server takes six on an idle machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long an end in order may take. 60 s: it may have much to write down.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// A server of one kind: [`Postgres`](crate::Postgres), and others like it.
///
/// Clones are the same server; it is killed when the last one is dropped. Operations wait for each other.
pub struct Server<K: Kind> {
    pub(crate) inner: Arc<Inner<K>>,
}

/// What differs between kinds of servers.
pub trait Kind: Send + Sync + 'static {
    /// How it is called in messages.
    const NAME: &'static str;

    /// Makes the data if there is none, and writes the configuration.
    fn prepare(&self, home: &Home) -> Result<(), Error>;

    /// How it is started.
    fn launch(&self, home: &Home) -> Launch;

    /// Whether it answers; if not, what was seen instead.
    fn answers(&self, home: &Home) -> Result<(), String>;

    /// Tidies up what a killed server leaves outside its directory.
    fn killed(&self, home: &Home);
}

/// Where a server lives.
#[derive(Debug)]
pub struct Home {
    pub(crate) directory: Directory,
    pub(crate) port: Port,
}

pub(crate) struct Inner<K: Kind> {
    pub(crate) kind: K,
    pub(crate) home: Home,
    running: Mutex<Option<Running>>,
    /// The log since the last start; apart, so that it can be read while an operation goes on.
    log: Mutex<Option<Log>>,
}

impl<K: Kind> Server<K> {
    /// A server that does not run yet, in `named` or else in a temporary directory.
    pub(crate) fn new(kind: K, named: Option<&Path>) -> Result<Server<K>, Error> {
        let directory = Directory::new(named, K::NAME)?;
        process::wait_until_free(directory.path())?;
        let port = remembered_port(&directory)?;
        let home = Home { directory, port };
        Ok(Server { inner: Arc::new(Inner { kind, home, running: Mutex::new(None), log: Mutex::new(None) }) })
    }

    /// Where it listens; the same as long as this handle lives, and from one to the next in a named directory.
    pub fn address(&self) -> SocketAddr {
        self.inner.home.address()
    }

    /// Its directory: configuration, log, and the data below `data`.
    pub fn directory(&self) -> &Path {
        self.inner.home.path()
    }

    /// Starts it, with the data that it has, and waits until it answers.
    ///
    /// Fails with the end of its log when it ends or is not ready within 60 s; then it does not run.
    pub async fn start(&self) -> Result<(), Error> {
        self.work(Inner::start).await
    }

    /// Ends it in order and waits until all its processes are gone; one that is frozen is thawed first.
    pub async fn stop(&self) -> Result<(), Error> {
        self.work(|inner| inner.stop(None)).await
    }

    /// Kills all its processes with SIGKILL and waits until they are gone. What the system has not written yet is
    /// not lost by that; for that see [`Server::restore_data`].
    pub async fn kill(&self) -> Result<(), Error> {
        self.work(Inner::kill).await
    }

    /// Stops all its processes where they are, with SIGSTOP: connections stay, nothing answers.
    pub async fn freeze(&self) -> Result<(), Error> {
        self.work(|inner| inner.while_running(Running::freeze)).await
    }

    /// Lets frozen processes go on.
    pub async fn thaw(&self) -> Result<(), Error> {
        self.work(|inner| inner.while_running(Running::thaw)).await
    }

    /// Copies its data to `to`, which is replaced. It must not run.
    pub async fn copy_data(&self, to: impl Into<PathBuf>) -> Result<(), Error> {
        let to = to.into();
        self.work(move |inner| inner.while_stopped(|home| directory::copy(&home.data(), &to))).await
    }

    /// Puts its data back to what [`Server::copy_data`] once copied: as if everything since had been lost. It must
    /// not run.
    pub async fn restore_data(&self, from: impl Into<PathBuf>) -> Result<(), Error> {
        let from = from.into();
        self.work(move |inner| inner.while_stopped(|home| directory::copy(&from, &home.data()))).await
    }

    /// Whether its first process runs, frozen or not: false after an end that nobody asked for, too. It
    /// waits for an operation that goes on.
    pub fn is_running(&self) -> bool {
        self.inner.state().as_mut().is_some_and(|running| running.ended().is_none())
    }

    /// The end of what it has said since its last start, whether it still runs or not.
    pub fn log(&self) -> String {
        let log = self.inner.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        log.as_ref().map(Log::end).unwrap_or_default()
    }

    /// Does something on a thread where waiting is allowed. It is done even if nobody waits for it any more.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner<K>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        on_thread(move || work(&inner)).await
    }
}

/// Does `work` on a thread where waiting is allowed.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Interrupted),
        },
    }
}

impl<K: Kind> Inner<K> {
    pub(crate) fn start(&self) -> Result<(), Error> {
        let mut state = self.state();
        if let Some(running) = state.as_mut() {
            if running.ended().is_none() {
                return Err(Error::Runs { server: K::NAME });
            }
            running.wait(STOPPED_WITHIN)?;
            *state = None;
            self.kind.killed(&self.home);
        }
        self.kind.prepare(&self.home)?;
        let temporary = self.home.directory.is_temporary();
        let mut running = Running::start(K::NAME, self.kind.launch(&self.home), self.home.path(), temporary)?;
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(running.log().clone());
        if let Err(error) = self.wait_until_it_answers(&mut running) {
            running.kill()?;
            self.kind.killed(&self.home);
            return Err(error);
        }
        *state = Some(running);
        Ok(())
    }

    fn wait_until_it_answers(&self, running: &mut Running) -> Result<(), Error> {
        let (mut ended, mut seen) = (None, String::new());
        let over = look_until(READY_WITHIN, || {
            ended = running.ended();
            let answer = if ended.is_some() { Ok(()) } else { self.kind.answers(&self.home) };
            answer.map_err(|instead| seen = instead).is_ok()
        });
        match (over, ended) {
            (_, Some(status)) => Err(Error::Ended { server: K::NAME, status, log: running.log().end() }),
            (true, None) => Ok(()),
            (false, None) => Err(running.late("ready", READY_WITHIN, seen)),
        }
    }

    /// Ends it by `signal`, or as its kind does.
    pub(crate) fn stop(&self, signal: Option<Signal>) -> Result<(), Error> {
        let mut state = self.state();
        let running = state.as_mut().ok_or(Error::Stopped { server: K::NAME })?;
        running.thaw()?;
        running.signal(signal.unwrap_or_else(|| self.kind.launch(&self.home).ending))?;
        running.wait(STOPPED_WITHIN)?;
        *state = None;
        Ok(())
    }

    fn kill(&self) -> Result<(), Error> {
        let mut state = self.state();
        let running = state.as_mut().ok_or(Error::Stopped { server: K::NAME })?;
        running.kill()?;
        *state = None;
        self.kind.killed(&self.home);
        Ok(())
    }

    fn while_running(&self, act: impl FnOnce(&mut Running) -> Result<(), Error>) -> Result<(), Error> {
        match self.state().as_mut() {
            Some(running) => act(running),
            None => Err(Error::Stopped { server: K::NAME }),
        }
    }

    fn while_stopped(&self, act: impl FnOnce(&Home) -> Result<(), Error>) -> Result<(), Error> {
        match *self.state() {
            Some(_) => Err(Error::Runs { server: K::NAME }),
            None => act(&self.home),
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

/// The port that a server in this directory had before, else a free one.
fn remembered_port(directory: &Directory) -> Result<Port, Error> {
    let path = directory.path().join("port");
    match fs::read_to_string(&path) {
        Ok(text) if let Ok(port) = text.trim().parse() => Port::take(port),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::files("read", &path)(error)),
        _ => {
            let port = Port::take(0)?;
            fs::write(&path, format!("{}\n", port.address().port())).map_err(Error::files("write", &path))?;
            Ok(port)
        }
    }
}

impl<K: Kind> Drop for Inner<K> {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_mut() {
            // Nobody is left to be told; the guard ends what could not be killed.
            let _ = running.kill();
            self.kind.killed(&self.home);
        }
    }
}

impl<K: Kind> Clone for Server<K> {
    fn clone(&self) -> Server<K> {
        Server { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Kind> std::fmt::Debug for Server<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(K::NAME)
            .field("address", &self.address())
            .field("directory", &self.directory())
            .finish()
    }
}
