//! Apache Kafka: one node in KRaft mode, broker and controller.

mod settings;
mod template;
mod wire;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::error::Error;
use crate::install;
use crate::port::Port;
use crate::process::Launch;
use crate::server::{Home, Kind, Server};
pub use settings::Settings;

/// A Kafka server.
pub type Kafka = Server<Node>;

/// What makes a server a Kafka server; made by [`Settings`].
#[derive(Debug)]
pub struct Node {
    installed: install::kafka::Kafka,
    /// Where the node talks to itself, without passwords or encryption, and where its controller listens.
    internal: Port,
    controller: Port,
    protocol: String,
    advertised: Option<SocketAddr>,
    properties: Vec<(String, String)>,
    java: Vec<String>,
}

impl Kafka {
    /// Starts a server with nothing set, in a temporary directory.
    pub async fn launch() -> Result<Kafka, Error> {
        Settings::new().start().await
    }

    /// What clients take as `bootstrap.servers`.
    pub fn url(&self) -> String {
        self.address().to_string()
    }

    /// Where it can be reached without passwords or encryption, whatever [`Settings::protocol`] says: for a test
    /// that arranges things as its superuser, `User:ANONYMOUS`.
    pub fn internal_address(&self) -> SocketAddr {
        self.inner.kind.internal.address()
    }
}

impl Node {
    fn configuration(&self, home: &Home) -> String {
        let (client, internal, controller) =
            (home.address(), self.internal.address(), self.controller.address());
        let advertised = self.advertised.unwrap_or(client);
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@{controller}\n\
             listeners=CLIENT://{client},INTERNAL://{internal},CONTROLLER://{controller}\n\
             advertised.listeners=CLIENT://{advertised},INTERNAL://{internal}\n\
             listener.security.protocol.map=CLIENT:{},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=INTERNAL\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={}\n",
            self.protocol,
            home.data().display(),
        );
        let given = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in settings::ALONE.iter().copied().chain(given) {
            // Of two with one name the last one counts. Writing to a string cannot fail.
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }

    fn configuration_path(home: &Home) -> PathBuf {
        home.path().join("server.properties")
    }
}

impl Kind for Node {
    const NAME: &'static str = "kafka";

    fn prepare(&self, home: &Home) -> Result<(), Error> {
        let (data, scratch) = (home.data(), home.path().join("tmp"));
        if !data.is_dir() {
            template::copy(&self.installed, &data)?;
        }
        fs::create_dir_all(&scratch).map_err(Error::files("make", &scratch))?;
        let path = Node::configuration_path(home);
        fs::write(&path, self.configuration(home)).map_err(Error::files("write", &path))
    }

    fn launch(&self, home: &Home) -> Launch {
        let scratch = format!("-Djava.io.tmpdir={}", home.path().join("tmp").display());
        // The first compiler alone and a simple collector: up in a third of the time, and nothing here is a
        // benchmark.
        let mut arguments: Vec<String> =
            ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
                .map(str::to_owned)
                .into();
        arguments.extend([scratch, "-Dlog4j2.level=WARN".to_owned()]);
        arguments.extend(self.java.iter().cloned());
        let mut arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
        arguments.extend(["-cp".into(), self.installed.class_path().into(), "kafka.Kafka".into()]);
        arguments.push(Node::configuration_path(home).into());
        Launch {
            program: self.installed.java().to_owned(),
            arguments,
            variables: Vec::new(),
            account: None,
            ending: Signal::TERM,
        }
    }

    fn answers(&self, home: &Home) -> Result<(), String> {
        wire::listens(home.address())?;
        wire::serves(self.internal.address())
    }

    fn killed(&self, _: &Home) {}
}

/// Finds the server on this machine, and installs it if it is not there; answers its version.
pub fn install() -> Result<String, Error> {
    install::kafka::install().map(|_| install::kafka::VERSION.to_owned())
}

/// The directory of Kafka's own commands, `kafka-acls.sh` and `kafka-configs.sh`, as an operator has them.
pub fn commands() -> Result<PathBuf, Error> {
    install::kafka::tools()
}
