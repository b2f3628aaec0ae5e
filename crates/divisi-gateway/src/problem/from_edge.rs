//! What a call that brought no answer looks like from outside.

use axum::http::StatusCode;
use divisi_call::EdgeError;
use divisi_contract::{Cause, CauseKind};

use super::Problem;

impl From<EdgeError> for Problem {
    fn from(error: EdgeError) -> Problem {
        match error {
            EdgeError::BadRequest { status: 422, errors } => {
                Problem::bad_request(StatusCode::UNPROCESSABLE_ENTITY, errors)
            }
            EdgeError::BadRequest { errors, .. } => Problem::bad_request(StatusCode::BAD_REQUEST, errors),
            EdgeError::Refused { status, code, message, errors } => {
                let status = StatusCode::from_u16(status)
                    .ok()
                    .filter(|status| status.is_client_error() || status.is_server_error())
                    .unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
                Problem::new(status, code, message).naming(errors)
            }
            EdgeError::NotRun(cause) => not_run(cause),
            EdgeError::MayHaveRun(cause) => may_have_run(cause),
            _ => Problem::bug().ran("unknown").logging("an outcome that this gateway does not know"),
        }
    }
}

/// It did not run. The caller's own mistakes are told in the callee's words; what is behind the edge is not shown.
fn not_run(cause: Cause) -> Problem {
    let told = |status, code, words: &Cause| Problem::new(status, code, words.message.clone());
    let busy = |code, detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry();
    let broken = |code, detail| Problem::new(StatusCode::BAD_GATEWAY, code, detail);
    let problem = match cause.kind {
        CauseKind::KeyReused => told(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", &cause),
        CauseKind::NotAllowed => told(StatusCode::FORBIDDEN, "not-allowed", &cause),
        CauseKind::TooLarge => told(StatusCode::PAYLOAD_TOO_LARGE, "too-large", &cause),
        CauseKind::Overloaded => {
            busy("overloaded", "there is more to do than can be done; nothing was changed")
        }
        CauseKind::Draining => busy("draining", "what answers this is being restarted; nothing was changed"),
        CauseKind::Conflict => busy("conflict", "this lost a race with another request; nothing was changed"),
        CauseKind::DeadlinePassed => {
            busy("deadline-passed", "there was no time left to begin; nothing was changed")
        }
        CauseKind::Malformed | CauseKind::NoSuchMethod => {
            broken("versions-differ", "what answers this is of another version; nothing was changed")
        }
        CauseKind::AnswerTooLarge => too_large("the answer is too large to be given; nothing was changed"),
        CauseKind::Bug | CauseKind::WaitedInTransaction => Problem::bug(),
        _ => busy("unavailable", "what answers this cannot be reached now; nothing was changed"),
    };
    problem.ran("no").logging(cause.message)
}

/// A mistake of the service's, for which no caller can do anything.
fn too_large(detail: &'static str) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "answer-too-large", detail)
}

/// It may have run: whoever sends it again must be allowed to.
fn may_have_run(cause: Cause) -> Problem {
    let late = |code, detail| Problem::new(StatusCode::GATEWAY_TIMEOUT, code, detail);
    let problem = match cause.kind {
        CauseKind::Bug | CauseKind::WaitedInTransaction => Problem::bug(),
        // An older peer has one kind for both, and a request that is too large did not run.
        CauseKind::AnswerTooLarge | CauseKind::TooLarge => {
            too_large("the answer is too large to be given; it may have taken effect")
        }
        CauseKind::DeadlinePassed => {
            late("deadline-passed", "no answer came in time; it may have taken effect")
        }
        _ => late("answer-lost", "the answer was lost; it may have taken effect"),
    };
    problem.ran("unknown").logging(cause.message)
}
