//! What `/livez`, `/readyz` and `/metrics` say.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use divisi_call::BoxFuture;
use serde::Serialize;
use tokio::time::timeout;

use crate::answer;
use crate::problem::Problem;
use crate::resource::framed;
use crate::routes::METRICS;

/// How long readiness may take to find out: shorter than the patience of those who ask.
const READY_TIME_MAX: Duration = Duration::from_secs(2);

/// How long counting may take: shorter than the patience of those who ask.
const METRICS_TIME_MAX: Duration = Duration::from_secs(5);
/// Version 0.0.4 of the text format, which everybody reads.
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Knows how the process is.
pub trait Health: Send + Sync + 'static {
    /// Whether it is worth keeping: `/livez`. One that is not should be restarted, so nothing that a restart does not
    /// cure belongs here.
    fn live(&self) -> Report;
    /// Whether it can answer requests now: `/readyz`. Given up after 2 s, which is a reason too.
    fn ready(&self) -> BoxFuture<'_, Report>;
}

/// How something is, with the reasons when it is not well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Why not, a sentence each; all is well when there is none.
    pub reasons: Vec<String>,
}

/// Knows what can be counted of the process.
pub trait Metrics: Send + Sync + 'static {
    /// The figures as they are now, in the text format of Prometheus: `/metrics`. Given up after 5 s.
    fn text(&self) -> BoxFuture<'_, String>;
}

/// Which of the two is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    Live,
    Ready,
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    reasons: &'a [String],
}

impl Report {
    /// All is well.
    pub fn well() -> Report {
        Report::default()
    }

    /// It is not well, for this reason.
    pub fn unwell(reason: impl Into<String>) -> Report {
        Report { reasons: vec![reason.into()] }
    }
}

/// Answers `/metrics`.
pub(crate) async fn serve_metrics(metrics: Arc<dyn Metrics>, request: Request) -> Response {
    framed(request, METRICS, async |request, _, _| {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::not_allowed(HeaderValue::from_static("GET, HEAD")));
        }
        let text = timeout(METRICS_TIME_MAX, metrics.text()).await.map_err(|_| Problem::late())?;
        let mut response = answer::with_type(StatusCode::OK, text.into_bytes(), PROMETHEUS);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    })
    .await
}

/// Answers `/livez` or `/readyz`; without anybody who knows, whoever answers is alive and ready.
pub(crate) async fn serve(health: Option<Arc<dyn Health>>, question: Question, request: Request) -> Response {
    let route = match question {
        Question::Live => "/livez",
        Question::Ready => "/readyz",
    };
    framed(request, route, async |request, _, _| {
        let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
        match *request.method() {
            Method::GET | Method::HEAD => Ok(answer_to(health.as_deref(), question).await),
            Method::OPTIONS => {
                let mut response = answer::empty(StatusCode::NO_CONTENT);
                response.headers_mut().insert(header::ALLOW, allow);
                Ok(response)
            }
            _ => Err(Problem::not_allowed(allow)),
        }
    })
    .await
}

async fn answer_to(health: Option<&dyn Health>, question: Question) -> Response {
    let report = match (health, question) {
        (None, _) => Report::well(),
        (Some(health), Question::Live) => health.live(),
        (Some(health), Question::Ready) => timeout(READY_TIME_MAX, health.ready())
            .await
            .unwrap_or_else(|_| Report::unwell("readiness could not be found out in time")),
    };
    let (status, word) = match (report.reasons.is_empty(), question) {
        (true, Question::Live) => (StatusCode::OK, "live"),
        (true, Question::Ready) => (StatusCode::OK, "ready"),
        (false, Question::Live) => (StatusCode::SERVICE_UNAVAILABLE, "not live"),
        (false, Question::Ready) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    // Text and a list of text cannot fail to be written.
    let body = serde_json::to_vec(&Body { status: word, reasons: &report.reasons }).unwrap_or_default();
    let mut response = answer::json(status, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
