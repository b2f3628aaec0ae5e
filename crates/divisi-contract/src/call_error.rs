//! What a caller may conclude from a call that brought no answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Invalid, NoRefusal, Refusal};

/// What a method of a contract returns: the answer, or a [`CallError`] with the method's refusal.
pub type Answer<T, R = NoRefusal> = Result<T, CallError<R>>;

/// Why a call brought no answer; it says first *whether it ran*.
///
/// ```
/// use divisi_contract::{CallError, Cause, CauseKind, NoRefusal};
///
/// let error: CallError<NoRefusal> = CallError::NotRun(Cause::new(CauseKind::Unreachable, "posts is not reachable"));
/// assert!(!error.may_have_run(), "it can be sent again without harm");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError<R = NoRefusal> {
    /// The callee said no, in the terms of its contract. It ran and changed nothing.
    Refused(R),
    /// It did not run, or all that it did was rolled back. Safe to try again.
    ///
    /// A method that hands on the error of a call which it made after it had changed something says so with
    /// [`CallError::after_effects`]: the inner call did not run, but the method did.
    NotRun(Cause),
    /// It may have run. Only an idempotent call, or a keyed one with its key, may be tried again.
    MayHaveRun(Cause),
}

/// What went wrong below the contract, in a form that can travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What kind of trouble it was; programs look at this.
    pub kind: CauseKind,
    /// The sentence for people: what went wrong and, where it helps, what to do.
    pub message: String,
}

/// The kinds of trouble that a call can meet below its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CauseKind {
    /// No connection to the callee could be made in time.
    Unreachable,
    /// The connection broke after the request was sent.
    Disconnected,
    /// The callee, or the caller's own limit, has too many calls in flight.
    Overloaded,
    /// The callee is shutting down.
    Draining,
    /// The deadline passed.
    DeadlinePassed,
    /// The request is larger than the frame limit.
    TooLarge,
    /// The answer, or a refusal, is larger than the frame limit: the callee's mistake, and not the caller's.
    AnswerTooLarge,
    /// The bytes could not be decoded: the two sides disagree about a type.
    Malformed,
    /// The callee has no such contract or method, or another version of it.
    NoSuchMethod,
    /// The caller may not make this call.
    NotAllowed,
    /// A transaction lost a race with another one.
    Conflict,
    /// A transaction took longer than its limit.
    TransactionTooLong,
    /// A transaction waited for something other than its database.
    WaitedInTransaction,
    /// The store failed; the message says how.
    Store,
    /// The idempotency key was used before, with other arguments.
    KeyReused,
    /// The callee broke one of the framework's rules, or panicked: a bug, and not the caller's.
    Bug,
    /// A kind that a newer peer knows.
    #[serde(other)]
    Unknown,
}

/// Says no, in the terms of the contract: `return refuse(AddRefused::NoSuchPost)`.
pub fn refuse<T, R: Refusal>(refusal: R) -> Answer<T, R> {
    Err(CallError::Refused(refusal))
}

impl Cause {
    /// A cause of `kind` with its sentence.
    pub fn new(kind: CauseKind, message: impl Into<String>) -> Cause {
        Cause { kind, message: message.into() }
    }
}

impl<R> CallError<R> {
    /// It did not run; see [`CallError::NotRun`].
    pub fn not_run(kind: CauseKind, message: impl Into<String>) -> CallError<R> {
        CallError::NotRun(Cause::new(kind, message))
    }

    /// It may have run; see [`CallError::MayHaveRun`].
    pub fn unknown(kind: CauseKind, message: impl Into<String>) -> CallError<R> {
        CallError::MayHaveRun(Cause::new(kind, message))
    }

    /// Whether the call may have had an effect.
    pub fn may_have_run(&self) -> bool {
        matches!(self, CallError::MayHaveRun(_))
    }

    /// The refusal, if it was one.
    pub fn refusal(&self) -> Option<&R> {
        match self {
            CallError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// What went wrong below the contract, if it was that.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            CallError::Refused(_) => None,
            CallError::NotRun(cause) | CallError::MayHaveRun(cause) => Some(cause),
        }
    }

    /// The same error for a method that had changed something before: what did not run is then something that may have.
    ///
    /// ```
    /// use divisi_contract::{Answer, CallError, CauseKind};
    ///
    /// fn announce() -> Answer<()> {
    ///     Err(CallError::not_run(CauseKind::Unreachable, "announcements is not reachable"))
    /// }
    ///
    /// // The post is saved and committed by now.
    /// let answer: Answer<()> = announce().map_err(CallError::after_effects);
    /// assert!(answer.is_err_and(|error| error.may_have_run()), "who asks again saves the post twice");
    /// ```
    #[must_use]
    pub fn after_effects(self) -> CallError<R> {
        match self {
            CallError::NotRun(cause) => CallError::MayHaveRun(cause),
            error => error,
        }
    }

    /// The same error with its refusal translated, for a method that calls another one.
    pub fn map_refusal<S>(self, translate: impl FnOnce(R) -> S) -> CallError<S> {
        match self {
            CallError::Refused(refusal) => CallError::Refused(translate(refusal)),
            CallError::NotRun(cause) => CallError::NotRun(cause),
            CallError::MayHaveRun(cause) => CallError::MayHaveRun(cause),
        }
    }
}

impl CallError<NoRefusal> {
    /// The same error for a method with any refusal.
    pub fn widen<S>(self) -> CallError<S> {
        self.map_refusal(|never| match never {})
    }
}

impl<R: Refusal> From<R> for CallError<R> {
    fn from(refusal: R) -> CallError<R> {
        CallError::Refused(refusal)
    }
}

impl<R: Refusal + From<Invalid>> From<Invalid> for CallError<R> {
    fn from(invalid: Invalid) -> CallError<R> {
        CallError::Refused(invalid.into())
    }
}

impl<R: fmt::Display> fmt::Display for CallError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Refused(refusal) => write!(f, "refused: {refusal}"),
            CallError::NotRun(cause) => write!(f, "did not run: {cause}"),
            CallError::MayHaveRun(cause) => write!(f, "may have run: {cause}"),
        }
    }
}

impl<R: fmt::Display + fmt::Debug> std::error::Error for CallError<R> {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
