//! Deadline and panics around a handler that runs in this process, for local callers and for servers alike.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context as Task, Poll};

use divisi_contract::{CallError, CauseKind, Context, Deadline, Refusal, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep_until};

/// Runs `handler` until `deadline`. A handler that is ready at once costs no timer; a panic becomes an error.
pub fn within<F>(deadline: Deadline, handler: F) -> Within<F> {
    Within { handler: Caught(handler), deadline, timer: None }
}

/// A handler at work, until its deadline; see [`within`].
#[derive(Debug)]
#[must_use = "a handler does nothing until it is polled"]
pub struct Within<F> {
    handler: Caught<F>,
    deadline: Deadline,
    /// Made when the handler waits for the first time, and in a box, so that one that is ready at once does not carry
    /// the room for it along.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<T, R, F> Future for Within<F>
where
    F: Future<Output = Result<T, CallError<R>>> + Unpin,
{
    type Output = Result<T, CallError<R>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(answer) = Pin::new(&mut self.handler).poll(task) {
            return Poll::Ready(answer);
        }
        let Some(at) = self.deadline.instant() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at.into())));
        // The deadline holds for a handler too that uses up all the time that its task is given.
        pin!(unconstrained(timer)).poll(task).map(|()| {
            Err(CallError::unknown(CauseKind::DeadlinePassed, "the deadline passed before the answer came"))
        })
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
#[derive(Debug)]
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
