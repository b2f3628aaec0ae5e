//! The thread that starts processes.
//!
//! On Linux a child that asks to die with its parent dies with the *thread* that started it, and threads of a runtime
//! come and go. This one does nothing else and lives as long as the supervisor.

use std::io;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

#[derive(Debug)]
pub(super) struct Spawner {
    sender: Sender,
    thread: JoinHandle<()>,
}

/// Starts processes through the thread, which ends with the last of these.
#[derive(Debug, Clone)]
pub(super) struct Sender(mpsc::Sender<Job>);

#[derive(Debug)]
struct Job {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    pub(super) fn start() -> io::Result<Spawner> {
        let (jobs, work) = mpsc::channel();
        let runtime = Handle::current();
        let thread = std::thread::Builder::new()
            .name("divisi-spawner".to_owned())
            .spawn(move || spawn_each(&work, &runtime))?;
        Ok(Spawner { sender: Sender(jobs), thread })
    }

    pub(super) fn clone_sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Waits for the thread, once every process has ended.
    pub(super) async fn join(self) {
        drop(self.sender);
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
    }
}

impl Sender {
    pub(super) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.0.send(Job { command, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn spawn_each(work: &mpsc::Receiver<Job>, runtime: &Handle) {
    let _runtime = runtime.enter();
    for Job { command, reply } in work {
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        // Nobody waits any more: the child is killed as it is dropped.
        let _ = reply.send(child);
    }
}
