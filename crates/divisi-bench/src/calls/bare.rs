//! The least that serves several callers over one connection: frames of a length and an encoded record.
//!
//! The client is a queue to one task, which writes all that wait at once and hands answers out in the order of the
//! questions. The server answers each frame where it reads it. Both batch their writes as well as Divisi does; there
//! are no ids, deadlines, cancellation or limits.

use std::collections::VecDeque;

use anyhow::{Context, ensure};
use bytes::{Bytes, BytesMut};
use divisi::contract::codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::load::Peer;
use crate::order::Order;
use crate::runtime::Owned;

const QUEUE: usize = 1_024;
const READ: usize = 64 * 1_024;

type Question = (Bytes, oneshot::Sender<Bytes>);

#[derive(Clone)]
pub(super) struct Bare {
    questions: mpsc::Sender<Question>,
    order: Order,
}

impl Peer for Bare {
    async fn ask(&mut self) -> anyhow::Result<()> {
        let order = self.order.clone();
        let encoded = codec::encode(&order)?;
        let (answer, answered) = oneshot::channel();
        self.questions.send((encoded, answer)).await.context("the connection is gone")?;
        let answer: Order = codec::decode(&answered.await.context("the connection is gone")?)?;
        ensure!(answer.id == self.order.id, "another answer than asked for");
        Ok(())
    }
}

/// A server, and a client of it.
pub(super) fn start(client: &Runtime, server: &Runtime) -> anyhow::Result<(Bare, (Owned, Owned))> {
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let addr = listener.local_addr()?;
    let serving = Owned::spawn(server, async move {
        if let Err(error) = serve(listener).await {
            eprintln!("the bare server ended: {error:#}");
        }
    });
    let stream = client.block_on(TcpStream::connect(addr))?;
    stream.set_nodelay(true)?;
    let (questions, queue) = mpsc::channel(QUEUE);
    let asking = Owned::spawn(client, async move {
        if let Err(error) = connection(stream, queue).await {
            eprintln!("the bare client ended: {error:#}");
        }
    });
    Ok((Bare { questions, order: Order::sample() }, (serving, asking)))
}

async fn connection(mut stream: TcpStream, mut queue: mpsc::Receiver<Question>) -> anyhow::Result<()> {
    let (mut read, mut out) = (BytesMut::new(), Vec::new());
    let (mut questions, mut waiting) = (Vec::new(), VecDeque::new());
    let (mut reads, mut writes) = stream.split();
    loop {
        read.reserve(READ);
        tokio::select! {
            n = queue.recv_many(&mut questions, QUEUE) => {
                if n == 0 {
                    return Ok(());
                }
                for (encoded, answer) in questions.drain(..) {
                    frame(&mut out, &encoded);
                    waiting.push_back(answer);
                }
                writes.write_all(&out).await?;
                out.clear();
            }
            n = reads.read_buf(&mut read) => {
                ensure!(n? > 0, "the server closed");
                while let Some(encoded) = unframe(&mut read) {
                    let answer: oneshot::Sender<Bytes> = waiting.pop_front().context("an answer to nothing")?;
                    // Whoever asked may have gone.
                    let _ = answer.send(encoded);
                }
            }
        }
    }
}

async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let (mut stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let (mut read, mut out) = (BytesMut::new(), Vec::new());
    loop {
        read.reserve(READ);
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
        while let Some(encoded) = unframe(&mut read) {
            let order: Order = codec::decode(&encoded)?;
            frame(&mut out, &codec::encode(&order)?);
        }
        stream.write_all(&out).await?;
        out.clear();
    }
}

fn frame(out: &mut Vec<u8>, encoded: &[u8]) {
    out.extend_from_slice(&(encoded.len() as u32).to_be_bytes());
    out.extend_from_slice(encoded);
}

fn unframe(read: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(*read.first_chunk::<4>()?) as usize;
    (read.len() >= 4 + length).then(|| read.split_to(4 + length).freeze().split_off(4))
}
