//! As much of NATS's protocol as it takes to see what a user may do: the server says "no" before it answers a ping.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take: a hash is dear.
const WITHIN: Duration = Duration::from_secs(20);

/// What is tried with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Publish,
    Subscribe,
}

/// A connection of one user.
pub(super) struct Peer {
    stream: BufReader<TcpStream>,
    n_subscriptions: usize,
}

impl Peer {
    pub(super) fn connect(address: SocketAddr, user: &str, password: &str) -> Peer {
        Peer::try_connect(address, user, password).unwrap_or_else(|error| panic!("{user}: {error}"))
    }

    /// The server's words when it does not let it in.
    pub(super) fn try_connect(address: SocketAddr, user: &str, password: &str) -> Result<Peer, String> {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(WITHIN)).expect("a limit");
        let mut peer = Peer { stream: BufReader::new(stream), n_subscriptions: 0 };
        let options = json!({ "verbose": false, "user": user, "pass": password, "headers": false });
        peer.send(&format!("CONNECT {options}\r\n"));
        match peer.refusals().into_iter().next() {
            Some(refused) => Err(refused),
            None => Ok(peer),
        }
    }

    /// Tries it, and tells whether the server lets it. What is published is rubbish.
    pub(super) fn may(&mut self, act: Act, subject: &str) -> bool {
        self.n_subscriptions += 1;
        let sid = self.n_subscriptions;
        self.send(&match act {
            Act::Publish => format!("PUB {subject} 2\r\n{{}}\r\n"),
            Act::Subscribe => format!("SUB {subject} {sid}\r\nUNSUB {sid}\r\n"),
        });
        let refusals = self.refusals();
        for refused in &refusals {
            let named =
                refused.contains("Permissions Violation") && refused.contains(&format!("\"{subject}\""));
            assert!(named, "{act:?} {subject}: {refused}");
        }
        refusals.is_empty()
    }

    pub(super) fn has_stream(&mut self, stream: &str) -> bool {
        self.info(stream)["error"].is_null()
    }

    pub(super) fn n_messages(&mut self, stream: &str) -> u64 {
        let info = self.info(stream);
        info["state"]["messages"].as_u64().unwrap_or_else(|| panic!("{stream}: {info}"))
    }

    /// Asks for a stream as it is.
    fn info(&mut self, stream: &str) -> Value {
        self.n_subscriptions += 1;
        let sid = self.n_subscriptions;
        self.send(&format!("SUB answers.{sid} {sid}\r\nUNSUB {sid} 1\r\n"));
        self.send(&format!("PUB $JS.API.STREAM.INFO.{stream} answers.{sid} 0\r\n\r\n"));
        loop {
            let line = self.line();
            if let Some(rest) = line.strip_prefix("MSG ") {
                let length =
                    rest.rsplit(' ').next().and_then(|length| length.parse().ok()).expect("a length");
                let mut bytes = vec![0; length];
                self.stream.read_exact(&mut bytes).expect("the answer");
                return serde_json::from_slice(&bytes).expect("JSON");
            }
        }
    }

    /// What the server refused of all that was sent.
    fn refusals(&mut self) -> Vec<String> {
        self.send("PING\r\n");
        let mut refused = Vec::new();
        loop {
            let line = self.line();
            match line.as_str() {
                "PONG" => return refused,
                "" => {
                    refused.push("it hung up".to_owned());
                    return refused;
                }
                line => refused.extend(line.strip_prefix("-ERR ").map(str::to_owned)),
            }
        }
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("the server listens");
    }

    /// A line; an empty one when the server has hung up.
    fn line(&mut self) -> String {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
            read => read.map(|_| line.trim_end().to_owned()).expect("the server answers in time"),
        }
    }
}
