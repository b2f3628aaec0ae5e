//! When a call is tried again by itself: it reads the error and the method's promise, nothing else.

use std::time::Duration;

use divisi_contract::{CallError, CauseKind, Context, Deadline, Repeat};

use crate::caller::Call;

/// How often one call is sent at the most.
pub const TRIES_MAX: u32 = 3;
/// The first pause; each further one is twice as long, and each is shortened at random by up to half.
pub const PAUSE_FIRST: Duration = Duration::from_millis(20);

/// The tries of one call.
#[derive(Debug)]
pub struct Retry {
    repeatable: bool,
    deadline: Deadline,
    tries: u32,
    /// Whether an earlier try may have run.
    may_have_run: bool,
}

impl Retry {
    /// Before the first try of `call`. A keyed method may be repeated only under a key.
    pub fn new(call: &Call, cx: &Context) -> Retry {
        let repeatable = match call.repeat {
            Repeat::Once => false,
            Repeat::Idempotent => true,
            Repeat::Keyed => cx.idempotency_key().is_some(),
        };
        Retry { repeatable, deadline: cx.deadline(), tries: 1, may_have_run: false }
    }

    /// Waits and says `true` if the call that ended in `error` should be sent again.
    pub async fn again<R>(&mut self, error: &CallError<R>) -> bool {
        let passing = matches!(
            error.cause().map(|cause| cause.kind),
            Some(CauseKind::Unreachable | CauseKind::Disconnected | CauseKind::Draining)
        );
        if !self.repeatable || !passing || self.tries >= TRIES_MAX {
            return false;
        }
        let pause = PAUSE_FIRST * 2_u32.pow(self.tries - 1);
        let pause = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        if self.deadline.left(crate::now()).is_some_and(|left| left <= pause) {
            return false;
        }
        self.tries += 1;
        self.may_have_run |= error.may_have_run();
        tokio::time::sleep(pause).await;
        true
    }

    /// What the last try's error says of the whole call: that the last try did not run does not excuse an earlier one.
    pub fn conclude<R>(&self, error: CallError<R>) -> CallError<R> {
        if self.may_have_run { error.after_effects() } else { error }
    }
}
