//! One method at one route: a request becomes a call, and its outcome an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use divisi_call::{Edge, EdgeRequest};
use divisi_contract::{Context, Deadline, Repeat, ServiceName, Trace};
use tokio::time::timeout_at;

use crate::limits::Limits;
use crate::path::Template;
use crate::problem::Problem;
use crate::{answer, body, key, query};

/// How long after the deadline the gateway still waits: a call ends at the deadline by itself, and then it says
/// whether it ran. An edge that does not is given up.
const GRACE: Duration = Duration::from_millis(250);
/// How long a request may take when it has no deadline, because the limit is longer than the clock can say.
const AGES: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// What all endpoints of a gateway share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// In whose name calls are made.
    pub(crate) name: ServiceName,
    /// What a stranger may ask for.
    pub(crate) limits: Limits,
}

/// One method at one route.
pub(crate) struct Endpoint {
    pub(crate) edge: Arc<dyn Edge>,
    pub(crate) contract: &'static str,
    pub(crate) method: &'static str,
    pub(crate) n_method: usize,
    pub(crate) repeat: Repeat,
    /// The path as the contract writes it.
    pub(crate) path: &'static str,
    pub(crate) template: Template,
    /// The arguments that come from the query.
    pub(crate) query: Vec<&'static str>,
    /// Whether an argument comes from the body.
    pub(crate) takes_body: bool,
    /// The status of an answer.
    pub(crate) status: StatusCode,
}

impl Endpoint {
    /// `contract.method`.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.contract, self.method)
    }

    /// Calls the method. Everything that is wrong with path and query is named at once; the body is read after that.
    pub(crate) async fn call(
        &self,
        shared: &Shared,
        request: Request,
        started: Instant,
        trace: Trace,
    ) -> Result<Response, Problem> {
        let (head, body) = request.into_parts();
        let mut wrong = Vec::new();
        let path = self.template.read(head.uri.path(), &mut wrong);
        let query = query::read(head.uri.query().unwrap_or_default(), &self.query, &mut wrong);
        if !wrong.is_empty() {
            return Err(Problem::bad_request(StatusCode::BAD_REQUEST, wrong));
        }
        let key = key::read(&head.headers, self.repeat)?;
        let deadline = Deadline::after(started, shared.limits.request_time_max);
        let until = deadline.instant().unwrap_or(started + AGES).into();
        let wanted = body::Wanted { taken: self.takes_body, bytes_max: shared.limits.body_bytes_max, until };
        let body = body::read(&head.headers, body, wanted).await?;
        let mut cx = Context::root(&shared.name).with_trace(trace).with_deadline(deadline);
        if let Some(key) = key {
            cx = cx.with_key(key);
        }
        let request = EdgeRequest { path: &path, query: &query, body: &body };
        match timeout_at(until + GRACE, self.edge.call(self.n_method, &cx, request)).await {
            Ok(outcome) => Ok(answer::json(self.status, outcome?)),
            Err(_) => Err(Problem::late()),
        }
    }
}
