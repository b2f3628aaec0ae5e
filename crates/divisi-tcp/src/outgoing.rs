//! Frames on their way out, gathered so that many leave in one system call.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context as Task, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;

use crate::frame::COUNTED;
use crate::message::Kind;

/// Payloads up to this size are copied behind their header; larger ones are sent from where they lie. A copy of
/// this size costs less than one more entry in a vectored write.
const COPY_MAX: usize = 8 * 1024;
/// Pieces handed to one system call.
const PIECES_MAX: usize = 32;

/// Frames that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Pieces that are finished, in order.
    pieces: VecDeque<Bytes>,
    /// Small frames, behind `pieces`.
    tail: BytesMut,
    len: usize,
}

impl Outgoing {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that belong to no frame.
    pub(crate) fn put_raw(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
        self.len += bytes.len();
    }

    /// One frame: `head` writes the first part of the body, `payload` is the rest. Says how many bytes it has.
    ///
    /// The caller has checked the size against the peer's limit, which is far below what a length can say.
    pub(crate) fn put(
        &mut self,
        kind: Kind,
        id: u64,
        head: impl FnOnce(&mut BytesMut),
        payload: &Bytes,
    ) -> usize {
        let start = self.tail.len();
        self.tail.put_u32(0);
        self.tail.put_u8(kind as u8);
        self.tail.put_u64(id);
        head(&mut self.tail);
        let in_tail = self.tail.len() - start;
        let whole = in_tail + payload.len();
        let length = u32::try_from(whole - 4).unwrap_or(u32::MAX);
        self.tail[start..start + 4].copy_from_slice(&length.to_be_bytes());
        if payload.len() <= COPY_MAX {
            self.tail.put_slice(payload);
        } else {
            self.pieces.push_back(self.tail.split().freeze());
            self.pieces.push_back(payload.clone());
        }
        self.len += whole;
        debug_assert!(whole - 4 >= COUNTED, "a header was written");
        whole
    }

    /// Writes what the socket takes now; says how many bytes that was.
    pub(crate) fn try_write(&mut self, socket: &TcpStream) -> io::Result<usize> {
        let n = if self.pieces.is_empty() {
            socket.try_write(&self.tail)?
        } else {
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            let mut n_slices = 0;
            for (slice, piece) in slices.iter_mut().zip(self.all()) {
                *slice = IoSlice::new(piece);
                n_slices += 1;
            }
            socket.try_write_vectored(&slices[..n_slices])?
        };
        self.advance(n);
        Ok(n)
    }

    /// Writes until nothing waits; `written` counts what has left, also when it is not all.
    pub(crate) fn poll_write(
        &mut self,
        socket: &TcpStream,
        task: &mut Task<'_>,
        written: &mut u64,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            match self.try_write(socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => *written += n as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(socket.poll_write_ready(task))?
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// All that waits, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| &piece[..]).chain([&self.tail[..]])
    }

    fn advance(&mut self, mut n: usize) {
        self.len -= n;
        while let Some(piece) = self.pieces.front_mut() {
            if n < piece.len() {
                piece.advance(n);
                return;
            }
            n -= piece.len();
            self.pieces.pop_front();
        }
        self.tail.advance(n);
    }
}
