//! What is sent first and waited for later: several requests share one trip to the server, which answers them in order.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

/// The server did not answer in time.
#[derive(Debug)]
pub(crate) struct Silent;

/// A request that was sent.
pub(crate) struct Sent<F: Future> {
    request: Pin<Box<F>>,
    /// What came of it at once: it could not be sent, or needed no answer.
    at_once: Option<F::Output>,
}

impl<F: Future> Sent<F> {
    /// Sends it: the driver writes requests in the order in which they are polled first.
    pub(crate) async fn now(request: F) -> Sent<F> {
        let mut request = Box::pin(request);
        let at_once = poll_fn(|task| match request.as_mut().poll(task) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
        Sent { request, at_once }
    }

    /// Whether an answer of the server is waited for.
    pub(crate) fn is_asked(&self) -> bool {
        self.at_once.is_none()
    }

    /// Waits for its answer, as long as that takes.
    pub(crate) async fn answer(self) -> F::Output {
        match self.at_once {
            Some(done) => done,
            None => self.request.await,
        }
    }

    /// Waits for its answer: so long, counted from the answer before.
    pub(crate) async fn within(self, patience: Duration) -> Result<F::Output, Silent> {
        match self.at_once {
            Some(done) => Ok(done),
            None => timeout(patience, self.request).await.map_err(|_| Silent),
        }
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Sent<F> {
    /// Whether it went to the server, as far as is known here.
    pub(crate) fn is_sent(&self) -> bool {
        !matches!(self.at_once, Some(Err(_)))
    }
}
