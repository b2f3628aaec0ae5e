//! A gateway that runs, and a client that speaks just enough HTTP/1.1 to test it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{future, io};

use divisi_call::Edge;
use divisi_gateway::{Gateway, Limits};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a test waits for anything before it says that it never came.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway on a port of its own. Dropped, it stops at once.
pub(crate) struct Running {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

/// An answer, as it stood on the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Running {
    pub(crate) async fn start(gateway: Gateway) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(gateway.serve(listener, async {
            if stopped.await.is_err() {
                future::pending::<()>().await;
            }
        }));
        Running { addr, stop: Some(stop), task }
    }

    pub(crate) async fn of(edge: impl Edge, limits: Limits) -> Running {
        Running::start(Gateway::new("gateway".into(), vec![Arc::new(edge)], limits).unwrap()).await
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.addr).await.unwrap(), buffer: Vec::new() }
    }

    /// One request without a body on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Reply {
        self.connect().await.ask(request, &[], b"").await
    }

    /// Tells the gateway to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the gateway has stopped.
    pub(crate) async fn stopped(mut self) {
        timeout(PATIENCE, &mut self.task).await.expect("the gateway did not stop").unwrap().unwrap();
    }

    /// Whether nobody listens any more; waits for it.
    pub(crate) async fn is_deaf(&self) {
        let deaf = async {
            while TcpStream::connect(self.addr).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, deaf).await.expect("the gateway still takes connections");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// `request` is `GET /path`; a body gets its length by itself, its type does not.
    pub(crate) async fn ask(&mut self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut raw = format!("{request} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            raw.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            raw.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        raw.push_str("\r\n");
        self.send(raw.as_bytes()).await;
        self.send(body).await;
        self.reply_to(request).await
    }

    /// The same with a body that says it is JSON.
    pub(crate) async fn ask_json(&mut self, request: &str, body: &str) -> Reply {
        self.ask(request, &[("content-type", "application/json")], body.as_bytes()).await
    }

    /// Sends as it is. That the other side has closed is seen when its answer is read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends it again and again, and reads nothing, until the other side hangs up.
    pub(crate) async fn send_until_cut(&mut self, bytes: &[u8]) {
        let cut = async { while self.stream.write_all(bytes).await.is_ok() {} };
        timeout(PATIENCE, cut).await.expect("the connection is kept, though no answer is taken");
    }

    /// The next answer.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.reply_to("GET").await
    }

    /// The next answer, or nothing when the other side has closed.
    pub(crate) async fn reply_or_end(&mut self) -> Option<Reply> {
        if self.buffer.is_empty() && !self.more().await { None } else { Some(self.reply().await) }
    }

    /// Waits until the other side has closed.
    pub(crate) async fn end(&mut self) {
        assert!(!self.more().await, "more came: {}", String::from_utf8_lossy(&self.buffer));
    }

    async fn reply_to(&mut self, request: &str) -> Reply {
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break self.buffer.drain(..at + 4).collect::<Vec<u8>>();
            }
            assert!(self.more().await, "closed before an answer: {}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("not a header: {line}")))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        if !request.starts_with("HEAD") {
            while self.buffer.len() < length {
                assert!(self.more().await, "closed within a body");
            }
            reply.body = self.buffer.drain(..length).collect();
        }
        reply
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        read.expect("nothing came in time").is_ok_and(|n| n > 0)
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts that this is a whole problem with this status and code, and gives it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        let trace = problem["trace_id"].as_str().unwrap();
        assert_eq!(self.header("traceresponse").unwrap().split('-').nth(1), Some(trace));
        problem
    }
}
