//! A stranger with a socket: HTTP/1.1 over one kept connection, no more than tests need.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long a stranger waits for an answer before he takes it for lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// A client that keeps its connection, and makes a new one when it was lost.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The header lines, as they came.
    pub head: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Http {
    /// A client for `address`; nothing is sent yet.
    pub fn new(address: SocketAddr) -> Http {
        Http { address, stream: None }
    }

    /// A GET.
    ///
    /// # Errors
    ///
    /// When the connection cannot be made, or is lost before the whole answer came.
    pub fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.request("GET", path, &[], "")
    }

    /// A POST of JSON, under an idempotency key if there is one.
    ///
    /// # Errors
    ///
    /// When the connection cannot be made, or is lost before the whole answer came.
    pub fn post(&mut self, path: &str, body: &Value, key: Option<&str>) -> io::Result<Reply> {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.request("POST", path, &headers, &body.to_string())
    }

    /// Any request.
    ///
    /// # Errors
    ///
    /// When the connection cannot be made, or is lost before the whole answer came.
    pub fn request(
        &mut self,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let mut text =
            format!("{verb} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n", self.address, body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(body);
        stream.get_mut().write_all(text.as_bytes())?;
        let reply = read(&mut stream)?;
        if !reply.head.iter().any(|line| line.eq_ignore_ascii_case("connection: close")) {
            self.stream = Some(stream);
        }
        Ok(reply)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(BufReader::new(stream))
    }
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not JSON: the test has found something.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error} in {} {:?}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Reply> {
    let lost =
        || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was lost before the answer came");
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(lost());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        head.push(line.to_owned());
    }
    let status = head.first().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut reply = Reply { status: status.ok_or_else(lost)?, head, body: Vec::new() };
    let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reply.body.resize(length, 0);
    stream.read_exact(&mut reply.body)?;
    Ok(reply)
}
