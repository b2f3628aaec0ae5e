//! Deadline and panics around a handler that runs in this process, for local callers and for servers alike.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use divisi_contract::{CallError, CauseKind, Context, Deadline, Refusal, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Runs `handler` until `deadline`. A handler that is ready at once costs no timer; a panic becomes an error.
pub async fn within<T, R, F>(deadline: Deadline, handler: F) -> Result<T, CallError<R>>
where
    F: Future<Output = Result<T, CallError<R>>> + Unpin,
{
    let mut handler = Caught(handler);
    if let Poll::Ready(answer) = poll_fn(|task| Poll::Ready(Pin::new(&mut handler).poll(task))).await {
        return answer;
    }
    let Some(at) = deadline.instant() else { return handler.await };
    // In a box, so that a call that is ready at once does not carry the room for a timer along.
    match Box::pin(tokio::time::timeout_at(at.into(), handler)).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(CallError::unknown(CauseKind::DeadlinePassed, "the deadline passed before the answer came"))
        }
    }
}

/// Refuses a call whose deadline has passed: it did not run.
pub fn in_time<R>(cx: &Context) -> Result<(), CallError<R>> {
    match cx.deadline().instant() {
        Some(at) if at <= crate::now() => Err(CallError::not_run(
            CauseKind::DeadlinePassed,
            "the deadline had passed before the call was made",
        )),
        _ => Ok(()),
    }
}

/// In debug builds, proves that a value could travel: it is encoded and decoded as `D`. Free in release builds.
pub fn could_travel<V, D, R>(value: &V) -> Result<(), CallError<R>>
where
    V: Serialize + ?Sized,
    D: DeserializeOwned,
{
    if cfg!(debug_assertions) {
        let travelled = codec::encode(value).and_then(|bytes| codec::decode::<D>(&bytes));
        if let Err(error) = travelled {
            let text = crate::dispatch::with_source(&error);
            return Err(CallError::not_run(
                CauseKind::Bug,
                format!("a value that cannot travel to another process: {text}"),
            ));
        }
    }
    Ok(())
}

/// In debug builds, proves that an answer could travel. The method has run, so one that could not is a bug after the
/// fact. Free in release builds.
pub fn answer_could_travel<T, R>(answer: Result<T, CallError<R>>) -> Result<T, CallError<R>>
where
    T: Serialize + DeserializeOwned,
    R: Refusal,
{
    let travelled: Result<(), CallError<R>> = match &answer {
        Ok(value) => could_travel::<T, T, R>(value),
        Err(CallError::Refused(refusal)) => could_travel::<R, R, R>(refusal),
        Err(CallError::NotRun(_) | CallError::MayHaveRun(_)) => Ok(()),
    };
    match travelled {
        Ok(()) => answer,
        Err(CallError::NotRun(cause)) => Err(CallError::MayHaveRun(cause)),
        Err(error) => Err(error),
    }
}

/// A handler whose panic is an error value.
struct Caught<F>(F);

impl<T, R, F> Future for Caught<F>
where
    F: Future<Output = Result<T, CallError<R>>> + Unpin,
{
    type Output = Result<T, CallError<R>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        // A handler that panicked is never polled again, so broken invariants inside it are not seen.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(task))) {
            Ok(poll) => poll,
            Err(panic) => {
                let text = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "a panic without a message".to_owned());
                Poll::Ready(Err(CallError::unknown(CauseKind::Bug, format!("the callee panicked: {text}"))))
            }
        }
    }
}
