//! A bank under test: a process a service and one for the edge, on files or on real servers.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use divisi_servers::Postgres;
use divisi_testkit::Http;
use divisi_testkit::process::{Process, Start};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::servers::{self, Broker, Spreads, wait};

/// The services, and the edge last.
pub(crate) const ALL: [&str; 4] = ["accounts", "ledger", "audit", "gateway"];

/// Where addresses are looked for: below the ports that the system gives to whoever asks for any, so that one stays free
/// while its process is down, and elsewhere in each run, since several may go on beside each other.
static NEXT_PORT: LazyLock<AtomicU16> = LazyLock::new(|| {
    let run = u16::try_from(std::process::id() % 1_000).unwrap_or_default();
    AtomicU16::new(14_240 + 16 * run)
});

/// One bank at a time: a fault of one must not be the other's, and waits are measured.
static ALONE: Mutex<()> = Mutex::new(());

/// What a bank stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct On {
    pub(crate) name: &'static str,
    /// Which services keep their data on PostgreSQL; the others do in files.
    postgres: &'static [&'static str],
    spreads: Option<Spreads>,
}

const NOBODY: &[&str] = &[];
const EVERYBODY: &[&str] = &["accounts", "ledger", "audit"];

pub(crate) const FILES: On = On { name: "files", postgres: NOBODY, spreads: None };
pub(crate) const POSTGRES: On = On { name: "PostgreSQL", postgres: EVERYBODY, spreads: None };
pub(crate) const FILES_NATS: On = On { name: "files, NATS", postgres: NOBODY, spreads: Some(Spreads::Nats) };
pub(crate) const NATS: On =
    On { name: "PostgreSQL, NATS", postgres: EVERYBODY, spreads: Some(Spreads::Nats) };
pub(crate) const KAFKA: On =
    On { name: "PostgreSQL, Kafka", postgres: EVERYBODY, spreads: Some(Spreads::Kafka) };
/// One service alone on PostgreSQL: what happens to its server happens to nobody else.
pub(crate) const ACCOUNTS_ON_POSTGRES: On =
    On { name: "accounts on PostgreSQL, others on files", postgres: &["accounts"], spreads: None };
pub(crate) const LEDGER_ON_POSTGRES: On =
    On { name: "ledger on PostgreSQL, others on files", postgres: &["ledger"], spreads: None };

/// A bank whose processes are killed and started again, always at the same addresses.
pub(crate) struct Bank {
    pub(crate) on: On,
    data: TempDir,
    postgres: Option<Postgres>,
    broker: Option<Broker>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    variables: Vec<(String, String)>,
    running: BTreeMap<&'static str, Process>,
    /// Second processes of services.
    twins: Vec<(&'static str, Process)>,
    _alone: MutexGuard<'static, ()>,
}

impl Bank {
    /// Servers and processes, all of them started.
    pub(crate) fn start(on: On) -> Bank {
        // Without its points and engines the program would pass what needs them.
        if !cfg!(all(feature = "engines", feature = "failpoints")) {
            panic!("run with --all-features: these tests are about engines, and kill at named points");
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bank = Bank {
            on,
            data: tempfile::tempdir().expect("a directory"),
            postgres: (!on.postgres.is_empty()).then(servers::postgres),
            broker: on.spreads.map(Broker::launch),
            addresses: ALL.map(|name| (name, free_address())).into(),
            variables: Vec::new(),
            running: BTreeMap::new(),
            twins: Vec::new(),
            _alone: alone,
        };
        if let Some(postgres) = bank.postgres.clone() {
            for service in on.postgres {
                wait(postgres.sql(format!("CREATE DATABASE bank_{service}")));
            }
            bank.set("DIVISI_STORE__CONNECTIONS_MAX", "8");
            bank.is_at(&postgres.address().to_string());
        }
        if let Some(url) = bank.broker.as_ref().map(Broker::url) {
            bank.set("DIVISI_CARRIER__URL", url);
            bank.set("DIVISI_CARRIER__REPLICAS", "1");
        }
        for name in ALL {
            bank.start_one(name);
        }
        bank
    }

    /// Where requests go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses["gateway"]
    }

    /// Where the files are.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// The database server; a bank on files has none.
    pub(crate) fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The services that keep their data there.
    pub(crate) fn is_on_postgres(&self, service: &str) -> bool {
        self.on.postgres.contains(&service)
    }

    /// From their next start, processes find the database server at these addresses, the first that serves.
    pub(crate) fn is_at(&mut self, addresses: &str) {
        let Some(postgres) = self.postgres.clone() else { return };
        for service in self.on.postgres {
            let url = postgres.url_for("postgres", "postgres", &format!("bank_{service}"));
            let url = url.replace(&format!("@{}/", postgres.address()), &format!("@{addresses}/"));
            self.set(&format!("DIVISI_SERVICES__{}__STORE", service.to_uppercase()), url);
        }
    }

    /// Another server has taken the place of the database server.
    pub(crate) fn replaced_by(&mut self, postgres: Postgres) {
        self.postgres = Some(postgres);
    }

    /// The broker of a bank that has one.
    pub(crate) fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("this bank has a broker")
    }

    /// Starts one, and waits until it serves.
    pub(crate) fn start_one(&mut self, name: &'static str) {
        let mut process = self.of(name).spawn();
        process.wait_for("it serves", |output| {
            let line = if name == "gateway" { "  http " } else { "  calls " };
            output.contains(line).then_some(())
        });
        self.running.insert(name, process);
    }

    /// Starts a second process of a service, on the same database. Whoever is started from then on finds that one.
    pub(crate) fn start_twin(&mut self, name: &'static str) {
        self.addresses.insert(name, free_address());
        // Apart from the first one, whose socket for operators is its own.
        let mut process = self.of_in(name, &self.data.path().join("twins")).spawn();
        process.wait_for("it serves", |output| output.contains("  calls ").then_some(()));
        self.twins.push((name, process));
    }

    /// Starts one that is to kill itself at a point, and waits for nothing.
    pub(crate) fn start_failing(&mut self, name: &'static str, fail: &str) {
        self.start_failing_with(name, fail, &[]);
    }

    /// The same with more arguments.
    pub(crate) fn start_failing_with(&mut self, name: &'static str, fail: &str, more: &[&str]) {
        let start = more.iter().fold(self.of(name), |start, argument| start.with(*argument));
        self.running.insert(name, start.variable("DIVISI_FAIL", fail).spawn());
    }

    /// Waits until one has killed itself.
    pub(crate) fn killed_itself(&mut self, name: &str, why: &str) {
        let mut process = self.running.remove(name).expect("it was started");
        let status = process.ended();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{why}: {status}\n{}", process.all_output());
    }

    /// Kills one without a warning.
    pub(crate) fn kill(&mut self, name: &str) {
        // One that has killed itself is gone already.
        if let Some(mut process) = self.running.remove(name) {
            process.kill();
        }
    }

    /// The process of a service that runs.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.running.get(name).expect("it was started").pid()
    }

    /// What an operator is told by `words`, as `lag`.
    pub(crate) fn told(&self, words: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bank"));
        command.args(words).arg("--json").arg("--data").arg(self.data.path());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DIVISI_"))
        {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let said = command.output().expect("the binary runs");
        assert!(said.status.success(), "{words:?}: {said:?}");
        serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    /// A metric of a consumer, over all its topics.
    pub(crate) fn metric(&self, name: &str, consumer: &str) -> u64 {
        let reply = Http::new(self.address()).get("/metrics").expect("the edge answers");
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let label = format!("consumer=\"{consumer}\"");
        let mine = text.lines().filter(|line| line.starts_with(name) && line.contains(&label));
        mine.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Ends every process in order, the edge first; servers go on.
    pub(crate) fn stop_processes(&mut self) {
        let running = ALL.iter().rev().filter_map(|name| Some((*name, self.running.remove(name)?)));
        for (name, process) in running.chain(self.twins.drain(..)) {
            let (status, output) = process.stop();
            assert!(status.success(), "{name} ended with {status}:\n{output}");
        }
    }

    /// From their next start, processes have another value.
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    fn of(&self, name: &'static str) -> Start {
        self.of_in(name, self.data.path())
    }

    fn of_in(&self, name: &'static str, data: &Path) -> Start {
        let mut start =
            Start::new(env!("CARGO_BIN_EXE_bank"), data).with(name).listening(self.addresses["gateway"]);
        for (other, address) in self.addresses.iter().filter(|(other, _)| **other != "gateway") {
            let variable = format!("DIVISI_SERVICES__{}__ADDRESS", other.to_uppercase());
            start = start.variable(&variable, address.to_string());
        }
        for (name, value) in &self.variables {
            start = start.variable(name, value.as_str());
        }
        start
    }
}

/// An address that nobody has, and that nobody is given.
fn free_address() -> SocketAddr {
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::SeqCst);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
