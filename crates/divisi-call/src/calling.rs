//! A call that has been made and has not answered yet: what every method of a generated client returns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use divisi_contract::{CallError, Deadline, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::BoxFuture;
use crate::in_process::{Within, answer_could_travel, within};
use crate::limit::InFlight;

/// A call under way; its answer is an `Answer<T, R>`.
///
/// The deadline was looked at and the place under the route's limit was taken when the method was called. Nothing runs
/// before the first poll. Dropping it takes the call back, as far as that goes, and gives the place back.
///
/// It is a type of its own rather than an `async fn` because arguments then move once, into the callee's future,
/// and not into the caller's first.
#[must_use = "a call does nothing until it is awaited"]
pub struct Calling<'a, T, R>(State<'a, T, R>);

enum State<'a, T, R> {
    /// It failed before anything ran.
    NotRun(CallError<R>),
    /// To a service in this process.
    Local { handler: Within<BoxFuture<'a, Result<T, CallError<R>>>>, _place: InFlight<'a> },
    /// To a service elsewhere.
    Remote { answer: BoxFuture<'a, Result<T, CallError<R>>>, _place: InFlight<'a> },
    /// It has answered.
    Over,
}

impl<'a, T, R> Calling<'a, T, R> {
    /// A call that failed before anything ran.
    pub fn not_run(error: CallError<R>) -> Calling<'a, T, R> {
        Calling(State::NotRun(error))
    }

    /// A call of `handler` in this process, until `deadline`.
    pub fn local(
        place: InFlight<'a>,
        deadline: Deadline,
        handler: BoxFuture<'a, Result<T, CallError<R>>>,
    ) -> Calling<'a, T, R> {
        Calling(State::Local { handler: within(deadline, handler), _place: place })
    }

    /// A call that `answer` brings from elsewhere.
    pub(crate) fn remote(
        place: InFlight<'a>,
        answer: BoxFuture<'a, Result<T, CallError<R>>>,
    ) -> Calling<'a, T, R> {
        Calling(State::Remote { answer, _place: place })
    }
}

// Everything that must not move is in a box.
impl<T, R> Unpin for Calling<'_, T, R> {}

impl<T, R> Future for Calling<'_, T, R>
where
    T: Serialize + DeserializeOwned,
    R: Refusal,
{
    type Output = Result<T, CallError<R>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let polled = match &mut self.0 {
            // Free in release builds is only what is not there: to hand an answer through moves it.
            State::Local { handler, .. } if cfg!(debug_assertions) => {
                Pin::new(handler).poll(task).map(answer_could_travel)
            }
            State::Local { handler, .. } => Pin::new(handler).poll(task),
            State::Remote { answer, .. } => answer.as_mut().poll(task),
            State::NotRun(_) | State::Over => match std::mem::replace(&mut self.0, State::Over) {
                State::NotRun(error) => Poll::Ready(Err(error)),
                _ => panic!("a call was polled after it had answered"),
            },
        };
        if polled.is_ready() {
            // Whoever keeps it, keeps neither the callee's future nor a place under the limit.
            self.0 = State::Over;
        }
        polled
    }
}

impl<T, R> fmt::Debug for Calling<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            State::NotRun(_) => "not run",
            State::Local { .. } => "local",
            State::Remote { .. } => "remote",
            State::Over => "over",
        };
        f.debug_tuple("Calling").field(&state).finish()
    }
}

#[cfg(test)]
mod tests;
