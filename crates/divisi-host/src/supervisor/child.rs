//! One supervised process: started, watched, started again.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use tokio::process::{Child as Running, ChildStderr, ChildStdout};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::health::{Component, Health};
use crate::supervisor::backoff::Backoff;
use crate::supervisor::ending::Ending;
use crate::supervisor::output::{Lines, pass_on};
use crate::supervisor::spawner::Sender;
use crate::supervisor::{NotStarted, Process, SUPERVISED_BY, Settings};
use crate::telemetry;

/// How long the last lines of a process are waited for. 200 ms: they are in the pipe already, unless somebody else
/// holds its end open.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(200);

/// A restart that comes this soon is told in one line, after it.
const SOON: Duration = Duration::from_millis(150);

/// What the supervisor wants of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Run,
    Terminate,
    Kill,
}

/// The supervisor's hold on one process.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: Arc<str>,
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

struct Watch {
    process: Process,
    prefixed: bool,
    backoff: Backoff,
    spawner: Sender,
    orders: watch::Receiver<Order>,
    health: Component,
    /// The first process of all that could not start.
    not_started: Arc<watch::Sender<Option<NotStarted>>>,
}

/// How a process ended.
struct Ended {
    /// In a sentence.
    how: String,
    /// Whether it gave up before it was ready. One that was killed without a word did not.
    gave_up: bool,
}

/// A process that runs, and everything it can say.
struct Run {
    process: Running,
    pid: u32,
    control: Lines<UnixStream>,
    stdout: Lines<ChildStdout>,
    stderr: Lines<ChildStderr>,
    was_ready: bool,
    /// Its own words for why it failed; else the last line of its standard error.
    words: Option<String>,
    last_line: String,
}

impl Child {
    pub(super) fn start(
        process: Process,
        settings: &Settings,
        spawner: Sender,
        health: &Health,
        not_started: Arc<watch::Sender<Option<NotStarted>>>,
    ) -> Child {
        let name = Arc::clone(&process.name);
        let (orders, received) = watch::channel(Order::Run);
        let watch = Watch {
            health: health.component(Arc::clone(&name)),
            process,
            prefixed: settings.prefixed,
            backoff: settings.backoff.clone(),
            spawner,
            orders: received,
            not_started,
        };
        Child { name, orders, task: tokio::spawn(watch.run()) }
    }

    /// Gives an order; a weaker one than the last is none.
    pub(super) fn order(&self, order: Order) {
        self.orders.send_if_modified(|now| {
            let stronger = order > *now;
            *now = order.max(*now);
            stronger
        });
    }

    /// Waits until the process has ended and will not be started again.
    pub(super) async fn ended(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    async fn run(mut self) {
        let name = Arc::clone(&self.process.name);
        let mut before: Option<String> = None;
        while self.wanted() {
            let since = Instant::now();
            let Ended { how: ending, gave_up } = match self.spawn().await {
                Ok(mut run) => {
                    match before.take() {
                        Some(ending) => {
                            info!(service.name = %name, "{ending}; started again as pid {}", run.pid)
                        }
                        None => info!(service.name = %name, "{name} was started as pid {}", run.pid),
                    }
                    run.watch(&name, self.prefixed, &mut self.orders, &self.health).await
                }
                Err(error) => Ended { how: format!("{name} could not start: {error}"), gave_up: true },
            };
            if !self.wanted() {
                info!(service.name = %name, "{ending}");
                break;
            }
            if gave_up {
                self.could_not_start(&ending);
            }
            let delay = self.backoff.after(since.elapsed());
            self.health.not_ready(format!("{ending}; starting it again in {delay:?}"));
            if delay > SOON {
                warn!(service.name = %name, "{ending}; starting it again in {delay:?}");
            }
            before = Some(if delay > SOON { format!("{name} had ended") } else { ending });
            tokio::select! {
                () = sleep(delay) => {}
                _ = self.orders.changed() => {}
            }
        }
        self.health.not_ready("stopped");
    }

    fn could_not_start(&self, how: &str) {
        self.not_started.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(NotStarted(how.to_owned()));
            }
            is_first
        });
    }

    fn wanted(&self) -> bool {
        // Without its supervisor's hold nobody wants it.
        *self.orders.borrow() == Order::Run && self.orders.has_changed().is_ok()
    }

    async fn spawn(&self) -> io::Result<Run> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&self.process.program);
        command
            .args(&self.process.arguments)
            .env(SUPERVISED_BY, std::process::id().to_string())
            .env(telemetry::TERMINAL, if telemetry::at_terminal() { "1" } else { "0" })
            .envs(self.process.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal reaches the supervisor alone, which stops the others in their order.
            .process_group(0);
        let mut process = self.spawner.spawn(command).await?;
        let missing = || io::Error::other("it has no output");
        Ok(Run {
            pid: process.id().ok_or_else(missing)?,
            control: Lines::new(UnixStream::from_std(ours)?),
            stdout: Lines::new(process.stdout.take().ok_or_else(missing)?),
            stderr: Lines::new(process.stderr.take().ok_or_else(missing)?),
            process,
            was_ready: false,
            words: None,
            last_line: String::new(),
        })
    }
}

impl Run {
    /// Watches the process to its end, and answers how that came, in a sentence.
    async fn watch(
        &mut self,
        name: &str,
        prefixed: bool,
        orders: &mut watch::Receiver<Order>,
        health: &Component,
    ) -> Ended {
        let prefix = prefixed.then_some(name);
        let mut hold_is_gone = false;
        let status = loop {
            tokio::select! {
                status = self.process.wait() => break status,
                changed = orders.changed(), if !hold_is_gone => {
                    hold_is_gone = changed.is_err();
                    self.obey(*orders.borrow_and_update(), name);
                }
                Some(line) = self.control.next(), if !self.control.ended() => self.heard(&line, name, health),
                Some(line) = self.stdout.next(), if !self.stdout.ended() => {
                    pass_on(io::stdout().lock(), prefix, &line);
                }
                Some(line) = self.stderr.next(), if !self.stderr.ended() => self.stderr_line(prefix, &line),
            }
        };
        let _ = timeout(LAST_LINES_WITHIN, self.last_lines(prefix, name, health)).await;
        let pid = self.pid;
        let how = match status {
            Ok(status) => Ending(status).to_string(),
            Err(error) => format!("cannot be watched any more: {error}"),
        };
        let words = self.words.take().unwrap_or_else(|| std::mem::take(&mut self.last_line));
        let gave_up = !self.was_ready && !words.is_empty();
        let how = match gave_up {
            true => format!("{name} (pid {pid}) could not start and {how}: {words}"),
            false => format!("{name} (pid {pid}) {how}"),
        };
        Ended { how, gave_up }
    }

    /// What it said before it ended and nobody has read yet.
    async fn last_lines(&mut self, prefix: Option<&str>, name: &str, health: &Component) {
        while let Some(line) = self.stdout.next().await {
            pass_on(io::stdout().lock(), prefix, &line);
        }
        while let Some(line) = self.stderr.next().await {
            self.stderr_line(prefix, &line);
        }
        while let Some(line) = self.control.next().await {
            self.heard(&line, name, health);
        }
    }

    fn stderr_line(&mut self, prefix: Option<&str>, line: &[u8]) {
        pass_on(io::stderr().lock(), prefix, line);
        if !line.trim_ascii().is_empty() {
            self.last_line = String::from_utf8_lossy(line).trim().to_owned();
        }
    }

    /// Takes what the process says of itself; what is not understood comes from a newer one, and is left.
    fn heard(&mut self, line: &[u8], name: &str, health: &Component) {
        let line = String::from_utf8_lossy(line);
        let pid = self.pid;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("ready", address) => {
                self.was_ready = true;
                health.ready();
                let at = if address.is_empty() { String::new() } else { format!(" at {address}") };
                info!(service.name = %name, "{name} (pid {pid}) is ready{at}");
            }
            ("failed", words) => self.words = Some(words.to_owned()),
            _ => {}
        }
    }

    fn obey(&mut self, order: Order, name: &str) {
        let result = match order {
            Order::Run => Ok(()),
            Order::Terminate => self.terminate(),
            Order::Kill => self.process.start_kill(),
        };
        if let Err(error) = result {
            warn!(service.name = %name, "{name} (pid {}) cannot be sent a signal: {error}", self.pid);
        }
    }

    fn terminate(&self) -> io::Result<()> {
        // It has an id until it is waited for, and so the id is nobody else's yet.
        let id = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        id.map_or(Ok(()), |id| Ok(kill_process(id, Signal::TERM)?))
    }
}
