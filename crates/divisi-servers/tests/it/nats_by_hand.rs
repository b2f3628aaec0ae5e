//! As much of a NATS client as the tests need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection.
pub(crate) struct Client {
    lines: BufReader<TcpStream>,
    n_inboxes: u32,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Client { lines: BufReader::new(stream), n_inboxes: 0 };
        assert!(client.line().starts_with("INFO "));
        client
    }

    /// Says who it is, and brings the answer to a ping: `PONG`, or a refusal.
    pub(crate) fn hello(&mut self, options: &str) -> String {
        self.send(&format!("CONNECT {{\"verbose\":false,{options}\"pedantic\":false}}\r\nPING\r\n"));
        self.line()
    }

    /// Makes a stream of the subject `seats`.
    pub(crate) fn make_stream(&mut self) {
        let answer = self.ask("$JS.API.STREAM.CREATE.SEATS", r#"{"name":"SEATS","subjects":["seats"]}"#);
        assert!(answer.contains("\"messages\":0"), "{answer}");
    }

    /// Publishes to the stream, and brings the place that the message got in it.
    pub(crate) fn publish(&mut self) -> u64 {
        let answer = self.ask("seats", "seven");
        let rest = answer.split("\"seq\":").nth(1).unwrap_or_else(|| panic!("no place in {answer}"));
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    }

    pub(crate) fn ask(&mut self, subject: &str, payload: &str) -> String {
        self.n_inboxes += 1;
        let n = self.n_inboxes;
        self.send(&format!(
            "SUB inbox.{n} {n}\r\nPUB {subject} inbox.{n} {}\r\n{payload}\r\n",
            payload.len()
        ));
        let head = self.line();
        assert!(head.starts_with(&format!("MSG inbox.{n} ")), "{head}");
        let length: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
        let mut answer = vec![0; length + 2];
        self.lines.read_exact(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// What comes within `within` when it pings.
    pub(crate) fn ping(&mut self, within: Duration) -> std::io::Result<String> {
        self.send("PING\r\n");
        self.hear(within)
    }

    pub(crate) fn hear(&mut self, within: Duration) -> std::io::Result<String> {
        self.lines.get_ref().set_read_timeout(Some(within))?;
        let mut line = String::new();
        self.lines.read_line(&mut line).map(|_| line.trim_end().to_owned())
    }

    fn send(&mut self, text: &str) {
        self.lines.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
