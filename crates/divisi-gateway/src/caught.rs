//! A panic becomes a value, so that it is answered and not only felt.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// Runs `future`; the error is what a panic in it said. It must not be polled again after that, so that nobody sees
/// what the panic left behind. It comes pinned, because to take it by value would move it twice.
pub(crate) async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, String> {
    poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().copied();
            let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Poll::Ready(Err(words.unwrap_or("a panic without a message").to_owned()))
        }
    })
    .await
}
