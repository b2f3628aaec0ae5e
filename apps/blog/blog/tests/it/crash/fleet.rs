//! A blog whose services the test itself starts, each in a process of its own, in whatever order.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU16, Ordering};

use divisi_testkit::process::{Process, Start};

use crate::crash::killed_itself;

/// The services, the gateway last.
pub(crate) const ALL: [&str; 5] = ["posts", "comments", "moderation", "query", "gateway"];

/// Below the ports that the system gives to whoever asks for any: an address here stays free while its process is down.
static NEXT_PORT: AtomicU16 = AtomicU16::new(10_240);

/// Processes with addresses of their own, none of them running at first.
pub(crate) struct Fleet {
    data: PathBuf,
    addresses: BTreeMap<&'static str, SocketAddr>,
    variables: Vec<(String, String)>,
    running: BTreeMap<&'static str, Process>,
}

impl Fleet {
    pub(crate) fn new(data: &Path) -> Fleet {
        let addresses = ALL.map(|name| (name, free_address())).into();
        Fleet { data: data.to_owned(), addresses, variables: Vec::new(), running: BTreeMap::new() }
    }

    /// Everything, started.
    pub(crate) fn started(data: &Path) -> Fleet {
        let mut fleet = Fleet::new(data);
        for name in ALL {
            fleet.start(name);
        }
        fleet
    }

    /// Sets a variable of the environment for whatever is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Where the databases are.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The process of a service that runs.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.running.get(name).map(Process::pid).unwrap_or_default()
    }

    /// Where the gateway is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses["gateway"]
    }

    /// Starts one, and waits until it serves.
    pub(crate) fn start(&mut self, name: &'static str) {
        let mut process = self.of(name).spawn();
        process.wait_for("it serves", |output| {
            let line = if name == "gateway" { "  http " } else { "  calls " };
            output.contains(line).then_some(())
        });
        self.running.insert(name, process);
    }

    /// Starts one that is to die at a point, and waits for nothing.
    pub(crate) fn start_failing(&mut self, name: &'static str, fail: &str) {
        let process = self.of(name).variable("DIVISI_FAIL", fail).spawn();
        self.running.insert(name, process);
    }

    /// Waits until one has killed itself.
    pub(crate) fn killed_itself(&mut self, name: &str) {
        let mut process = self.running.remove(name).expect("it was started");
        killed_itself(&mut process, name);
    }

    /// Ends one as Ctrl-C does; what it said.
    pub(crate) fn stop(&mut self, name: &str) -> String {
        let process = self.running.remove(name).expect("it was started");
        let (status, output) = process.stop();
        clean(name, status, &output);
        output
    }

    /// Ends one without a warning.
    pub(crate) fn kill(&mut self, name: &str) {
        self.running.remove(name).expect("it was started").kill();
    }

    pub(crate) fn output(&self, name: &str) -> String {
        self.running.get(name).map(Process::output).unwrap_or_default()
    }

    /// Ends everything that runs, the gateway first.
    pub(crate) fn stop_all(mut self) {
        for name in ALL.iter().rev() {
            if self.running.contains_key(name) {
                self.stop(name);
            }
        }
    }

    fn of(&self, name: &'static str) -> Start {
        let mut start = Start::new(env!("CARGO_BIN_EXE_blog"), &self.data)
            .with(name)
            .listening(self.addresses["gateway"]);
        for (other, address) in self.addresses.iter().filter(|(other, _)| **other != "gateway") {
            let variable = format!("DIVISI_SERVICES__{}__ADDRESS", other.to_uppercase());
            start = start.variable(&variable, address.to_string());
        }
        self.variables.iter().fold(start, |start, (name, value)| start.variable(name, value.clone()))
    }
}

fn clean(name: &str, status: ExitStatus, output: &str) {
    assert!(status.success(), "{name} ended with {status}:\n{output}");
}

/// An address that nobody has, and that nobody is given.
pub(crate) fn free_address() -> SocketAddr {
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::SeqCst);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
