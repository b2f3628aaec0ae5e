//! A blog under test, in one of its three set-ups.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use divisi_testkit::process::{Process, Start, send};
use divisi_testkit::{Http, Reply};
use rustix::process::Signal;
use serde_json::{Value, json};

/// How the blog is run. What it promises is the same in all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetUp {
    /// Everything in one process.
    Whole,
    /// The same, with calls and fetches forced over TCP.
    OverTcp,
    /// Every service in a process of its own.
    Split,
}

pub(crate) const SET_UPS: [SetUp; 3] = [SetUp::Whole, SetUp::OverTcp, SetUp::Split];

/// How long a write is tried again before the test gives it up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A blog that is killed and started again, always at the same address.
pub(crate) struct Blog {
    pub(crate) set_up: SetUp,
    pub(crate) address: SocketAddr,
    start: Start,
    process: Option<Process>,
}

impl Blog {
    pub(crate) fn start(set_up: SetUp, data: &Path) -> Blog {
        Blog::start_with(set_up, data, |start| start)
    }

    pub(crate) fn start_with(set_up: SetUp, data: &Path, more: impl FnOnce(Start) -> Start) -> Blog {
        let start = Start::new(env!("CARGO_BIN_EXE_blog"), data);
        let start = more(match set_up {
            SetUp::Whole => start,
            SetUp::OverTcp => start.with("--over-tcp"),
            SetUp::Split => start.with("--split"),
        });
        let (process, address) = start.start();
        Blog { set_up, address, start: start.listening(address), process: Some(process) }
    }

    /// Kills a process of the blog with SIGKILL: the one there is, or a service's, drawn by `random`. The whole is
    /// started again by the test, a service by its supervisor.
    pub(crate) fn kill_one(&mut self, random: &mut fastrand::Rng) {
        match self.set_up {
            SetUp::Whole | SetUp::OverTcp => {
                if let Some(process) = &mut self.process {
                    process.kill();
                }
                self.start_again();
            }
            SetUp::Split => {
                let children = self.process.as_ref().map(Process::children).unwrap_or_default();
                if let Some(&pid) = random.choice(&children) {
                    send(pid, Signal::KILL);
                }
            }
        }
    }

    fn start_again(&mut self) {
        let (process, address) = self.start.start();
        assert_eq!(address, self.address);
        self.process = Some(process);
    }

    /// The process that was started: the only one, or the supervisor.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().map(Process::pid).unwrap_or_default()
    }

    /// Waits until it says `words`.
    pub(crate) fn says(&mut self, words: &str) {
        if let Some(process) = &mut self.process {
            process.wait_for(words, |output| output.contains(words).then_some(()));
        }
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn stop(mut self) -> String {
        let Some(process) = self.process.take() else { return String::new() };
        let (status, output) = process.stop();
        assert!(status.success(), "it ended with {status}:\n{output}");
        output
    }
}

/// A writer that never gives up: the same key and body again, until there is an answer.
pub(crate) struct Writer(Http);

impl Writer {
    pub(crate) fn new(address: SocketAddr) -> Writer {
        Writer(Http::new(address))
    }

    /// Creates a post; its id.
    pub(crate) fn post(&mut self, title: &str, key: &str) -> String {
        let reply = self.write("/posts", &json!({ "title": title }), key);
        assert_eq!(reply.status, 201, "{:?}", reply.json());
        text(&reply.json()["id"])
    }

    /// Comments a post; the comment's id.
    pub(crate) fn comment(&mut self, post: &str, content: &str, key: &str) -> String {
        let reply = self.write(&format!("/posts/{post}/comments"), &json!({ "content": content }), key);
        assert_eq!(reply.status, 201, "{:?}", reply.json());
        text(&reply.json()["id"])
    }

    /// Reads until there is an answer.
    pub(crate) fn read(&mut self, path: &str) -> Value {
        self.until_answered(|http| http.get(path)).json()
    }

    fn write(&mut self, path: &str, body: &Value, key: &str) -> Reply {
        self.until_answered(|http| http.post(path, body, Some(key)))
    }

    /// Tries again what was not answered: a lost connection, or an answer that says "not now" or "not known".
    fn until_answered(&mut self, mut ask: impl FnMut(&mut Http) -> io::Result<Reply>) -> Reply {
        let began = Instant::now();
        loop {
            let outcome = ask(&mut self.0);
            match outcome {
                Ok(reply) if reply.status < 500 => return reply,
                outcome => assert!(began.elapsed() < PATIENCE, "no answer within {PATIENCE:?}: {outcome:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned()
}
