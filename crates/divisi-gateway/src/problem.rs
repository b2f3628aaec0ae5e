//! Whatever is no answer: a problem after RFC 9457.

mod from_edge;

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use divisi_contract::{FieldError, Trace};
use serde::Serialize;

use crate::answer;

/// When a caller may try again, in seconds: long enough for a peer to restart, short enough not to be noticed.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request brought no answer, for the stranger who made it and for the log.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    did_it_run: Option<&'static str>,
    retry: bool,
    closing: bool,
    allow: Option<HeaderValue>,
    words: Option<String>,
}

/// What stands on the wire. Its type is `about:blank`: what the status says, and the code for programs.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    did_it_run: Option<&'static str>,
    trace_id: String,
}

impl Problem {
    /// A problem with its status, its stable code, and its sentence for people.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        Problem(Box::new(Inner {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            did_it_run: None,
            retry: false,
            closing: false,
            allow: None,
            words: None,
        }))
    }

    /// A request that cannot be read (400), or that breaks a rule (422).
    pub(crate) fn bad_request(status: StatusCode, errors: Vec<FieldError>) -> Problem {
        let (code, detail) = if status == StatusCode::UNPROCESSABLE_ENTITY {
            ("invalid", "the request breaks a rule")
        } else {
            ("bad-request", "the request cannot be read")
        };
        Problem::new(status, code, detail).naming(errors)
    }

    /// No contract has a route to this path.
    pub(crate) fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "no-such-path", "there is nothing at this path")
    }

    /// The path is there, but not for this verb.
    pub(crate) fn not_allowed(allow: HeaderValue) -> Problem {
        let detail = "this path does not take this method; `Allow` says which ones it takes";
        let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
        problem.0.allow = Some(allow);
        problem
    }

    /// Something panicked; what it said is for the log.
    pub(crate) fn panicked(words: String) -> Problem {
        Problem::bug().ran("unknown").logging(format!("a panic: {words}"))
    }

    /// The call did not even end at its deadline.
    pub(crate) fn late() -> Problem {
        let detail = "no answer came in time; it may have taken effect";
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline-passed", detail)
            .ran("unknown")
            .logging("the call did not end at its deadline")
    }

    fn bug() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "bug",
            "this is a mistake of ours; the log has it under `trace_id`",
        )
    }

    /// With every rule that failed.
    pub(crate) fn naming(mut self, errors: Vec<FieldError>) -> Problem {
        self.0.errors = errors;
        self
    }

    /// With the answer to the first question: did it run?
    pub(crate) fn ran(mut self, did_it_run: &'static str) -> Problem {
        self.0.did_it_run = Some(did_it_run);
        self
    }

    /// With leave to try again soon.
    pub(crate) fn retry(mut self) -> Problem {
        self.0.retry = true;
        self
    }

    /// With the connection closed, because the rest of the body is not going to be read.
    pub(crate) fn closing(mut self) -> Problem {
        self.0.closing = true;
        self
    }

    /// With words that are for the log alone.
    pub(crate) fn logging(mut self, words: impl Into<String>) -> Problem {
        self.0.words = Some(words.into());
        self
    }

    /// The words for the log.
    pub(crate) fn words(&self) -> Option<&str> {
        self.0.words.as_deref()
    }

    /// The problem as it stands on the wire.
    pub(crate) fn response(&self, trace: Trace) -> Response {
        let inner = &*self.0;
        let body = Body {
            r#type: "about:blank",
            title: inner.status.canonical_reason().unwrap_or("Unknown"),
            status: inner.status.as_u16(),
            detail: &inner.detail,
            code: inner.code,
            errors: &inner.errors,
            did_it_run: inner.did_it_run,
            trace_id: format!("{:032x}", trace.trace_id),
        };
        // Text, numbers and lists of text cannot fail to be written.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = answer::with_type(inner.status, body, content_type);
        let headers = response.headers_mut();
        if inner.retry {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if inner.closing {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(allow) = &inner.allow {
            headers.insert(header::ALLOW, allow.clone());
        }
        response
    }
}
