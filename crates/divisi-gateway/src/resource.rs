//! One path of the gateway: its verbs, its answer to all others, and the frame around each request.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use divisi_contract::{Trace, Verb};
use tracing::Instrument;

use crate::access::Access;
use crate::answer;
use crate::caught::caught;
use crate::endpoint::{Endpoint, Shared};
use crate::problem::Problem;
use crate::routes::Verbs;

/// One path and what stands at it.
pub(crate) struct Resource {
    shared: Arc<Shared>,
    pattern: String,
    verbs: Verbs,
    allow: HeaderValue,
}

impl Resource {
    /// The resource at `pattern`.
    pub(crate) fn new(shared: Arc<Shared>, pattern: String, verbs: Verbs) -> Resource {
        let allow = allow(&verbs);
        Resource { shared, pattern, verbs, allow }
    }

    /// Its path, without the names of arguments.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The verb that a request means: `HEAD` is `GET` whose body stays at home.
    fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        let verb = match *method {
            Method::GET | Method::HEAD => Verb::Get,
            Method::POST => Verb::Post,
            Method::PUT => Verb::Put,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => return None,
        };
        self.verbs.get(&verb)
    }

    /// Answers a request, whatever happens, and logs it.
    pub(crate) async fn serve(&self, request: Request) -> Response {
        // The router takes an empty segment for an argument in front of another segment; no route means that.
        if request.uri().path().contains("//") {
            return not_found(request).await;
        }
        let method = request.method().clone();
        let endpoint = self.endpoint(&method);
        let route = endpoint.map_or(self.pattern.as_str(), |endpoint| endpoint.path);
        framed(request, route, async |request, started, trace| match endpoint {
            Some(endpoint) => endpoint.call(&self.shared, request, started, trace).await,
            None if method == Method::OPTIONS => Ok(self.options()),
            None => Err(Problem::not_allowed(self.allow.clone())),
        })
        .await
    }

    fn options(&self) -> Response {
        let mut response = answer::empty(StatusCode::NO_CONTENT);
        response.headers_mut().insert(header::ALLOW, self.allow.clone());
        response
    }
}

/// Around each request: its trace, its line in the log, and an answer even to a panic.
pub(crate) async fn framed<F>(request: Request, route: &str, answer: F) -> Response
where
    F: AsyncFnOnce(Request, Instant, Trace) -> Result<Response, Problem>,
{
    let started = divisi_call::now();
    let trace = answer::trace_of(request.headers());
    let method = request.method().clone();
    let span = tracing::info_span!(
        "request",
        http.route = route,
        trace.id = format_args!("{:032x}", trace.trace_id)
    );
    let outcome = caught(pin!(answer(request, started, trace).instrument(span))).await;
    let outcome = outcome.unwrap_or_else(|words| Err(Problem::panicked(words)));
    let access = Access { method: &method, route, trace, started };
    let mut response = match outcome {
        Ok(response) => {
            access.answered(response.status(), None);
            response
        }
        Err(problem) => {
            let response = problem.response(trace);
            access.answered(response.status(), problem.words());
            response
        }
    };
    answer::name_trace(&mut response, trace);
    response
}

/// Answers a request for a path where nothing stands.
pub(crate) async fn not_found(request: Request) -> Response {
    framed(request, "(none)", async |_, _, _| Err(Problem::not_found())).await
}

fn allow(verbs: &Verbs) -> HeaderValue {
    let mut names = Vec::new();
    for verb in verbs.keys() {
        names.push(verb.as_str());
        if *verb == Verb::Get {
            names.push("HEAD");
        }
    }
    names.push("OPTIONS");
    // Names of verbs and commas are a header value.
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}
