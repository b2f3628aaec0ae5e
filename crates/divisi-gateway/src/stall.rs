//! A connection whose other end must take its answers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A connection that fails once nothing of what is to be written has been taken for a time.
///
/// Without, whoever asks for much and reads nothing keeps a place for ever. It costs a timer only when the system takes
/// no more.
#[derive(Debug)]
pub(crate) struct Stalling<S> {
    stream: S,
    within: Duration,
    /// Set while writing waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    /// `stream`, of which something must be taken `within` this time.
    pub(crate) fn new(stream: S, within: Duration) -> Stalling<S> {
        Stalling { stream, within, timer: None }
    }

    /// What became of an attempt to write.
    fn watch<T>(&mut self, task: &mut Task<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.timer = None;
            return wrote;
        }
        let within = self.within;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(within)));
        if timer.as_mut().poll(task).is_pending() {
            return Poll::Pending;
        }
        timer.as_mut().reset(Instant::now() + within);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side does not take its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(task, bytes);
        self.watch(task, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(task, pieces);
        self.watch(task, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(task);
        self.watch(task, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
