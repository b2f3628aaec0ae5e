//! One line in the log for each request.

use std::time::Instant;

use axum::http::{Method, StatusCode};
use divisi_contract::Trace;
use tracing::{debug, warn};

/// A request that is being answered.
pub(crate) struct Access<'a> {
    /// The verb.
    pub(crate) method: &'a Method,
    /// The route's path with its arguments in braces: what a stranger wrote is not for the log.
    pub(crate) route: &'a str,
    /// Where it stands in its trace.
    pub(crate) trace: Trace,
    /// When its head had arrived.
    pub(crate) started: Instant,
}

impl Access<'_> {
    /// Writes the line: `debug`, or `warn` with the inner words of what went wrong behind the edge.
    pub(crate) fn answered(&self, status: StatusCode, words: Option<&str>) {
        if status.is_server_error() {
            let Access { method, route, .. } = self;
            let words = words.unwrap_or_default();
            warn!(
                http.method = %method, http.route = route, http.status = status.as_u16(),
                trace.id = format_args!("{:032x}", self.trace.trace_id), duration_us = self.duration_us(),
                "{method} {route} was answered with {}: {words}", status.as_u16(),
            );
        } else {
            let Access { method, route, .. } = self;
            debug!(
                http.method = %method, http.route = route, http.status = status.as_u16(),
                trace.id = format_args!("{:032x}", self.trace.trace_id), duration_us = self.duration_us(),
                "{method} {route} was answered with {}", status.as_u16(),
            );
        }
    }

    fn duration_us(&self) -> u64 {
        u64::try_from(divisi_call::now().saturating_duration_since(self.started).as_micros())
            .unwrap_or(u64::MAX)
    }
}
