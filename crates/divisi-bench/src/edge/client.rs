//! A client that costs next to nothing: one request, written again and again on a connection that stays.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::load::Peer;
use crate::order::Order;

/// One connection. It has one caller at a time; the lock is only there to hand it from round to round.
#[derive(Clone)]
pub(super) struct Http {
    connection: Arc<Mutex<Connection>>,
    request: Bytes,
}

struct Connection {
    stream: TcpStream,
    read: BytesMut,
}

impl Http {
    /// So many connections to `addr`.
    pub(super) async fn connect(addr: SocketAddr, connections: usize) -> anyhow::Result<Vec<Http>> {
        let body = serde_json::to_string(&Order::sample())?;
        let request = Bytes::from(format!(
            "POST /orders HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        let mut all = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let connection = Connection { stream, read: BytesMut::with_capacity(8 * 1_024) };
            all.push(Http { connection: Arc::new(Mutex::new(connection)), request: request.clone() });
        }
        Ok(all)
    }
}

impl Peer for Http {
    async fn ask(&mut self) -> anyhow::Result<()> {
        let mut connection = self.connection.lock().await;
        let Connection { stream, read } = &mut *connection;
        stream.write_all(&self.request).await?;
        loop {
            if let Some(length) = answer_length(read)? {
                read.advance(length);
                return Ok(());
            }
            ensure!(stream.read_buf(read).await? > 0, "the server closed the connection");
        }
    }
}

/// How long the answer is, once all of it is there. Only a good one with a length is an answer here.
fn answer_length(read: &[u8]) -> anyhow::Result<Option<usize>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(head) = read.windows(END.len()).position(|window| window == END) else { return Ok(None) };
    let text = std::str::from_utf8(&read[..head]).context("a head that is not text")?;
    ensure!(text.starts_with("HTTP/1.1 200 "), "an answer that is none: {text}");
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without a length")?;
    let length = head + END.len() + length.1.trim().parse::<usize>().context("a length that is no number")?;
    Ok((read.len() >= length).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::answer_length;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(answer_length(answer).ok(), Some(Some(answer.len())));
        assert_eq!(answer_length(&answer[..answer.len() - 1]).ok(), Some(None));
        assert!(answer_length(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
