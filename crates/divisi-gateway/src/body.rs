//! The body of a request, collected once and never beyond its limit.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;

/// Whether the request announces a body.
pub(crate) fn is_announced(body: &Body) -> bool {
    !body.is_end_stream()
}

/// Refuses a body that is not JSON by its own account.
pub(crate) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(not_json("a body is taken as it is, without a `Content-Encoding`"));
    }
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return Err(not_json("a body needs `Content-Type: application/json`; it has none"));
    };
    match content_type.to_str() {
        Ok(content_type) if names_json(content_type) => Ok(()),
        _ => Err(not_json("a body needs `Content-Type: application/json`; it has another one")),
    }
}

/// Reads a body of at most `bytes_max` until `deadline`. One that came in one piece is not copied.
pub(crate) async fn read(body: Body, bytes_max: usize, deadline: Instant) -> Result<Bytes, Problem> {
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    match timeout_at(deadline, collect(body, bytes_max, announced as usize)).await {
        Ok(body) => body,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-too-slow",
            "the body did not arrive within the time for a request",
        )
        .ran("no")
        .closing()),
    }
}

async fn collect(mut body: Body, bytes_max: usize, announced: usize) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await {
        let frame = frame.map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "body-broken", "the body broke off or is not well framed")
        })?;
        // Trailers say nothing to a contract.
        let Ok(piece) = frame.into_data() else { continue };
        if first.len().max(all.len()) + piece.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if first.is_empty() && all.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            all.reserve_exact(announced.max(first.len() + piece.len()));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&piece);
    }
    Ok(if all.is_empty() { first } else { Bytes::from(all) })
}

fn names_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
            !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

fn not_json(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail).closing()
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body is larger than {bytes_max} bytes, which is the limit");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail).closing()
}

/// Refuses a body that no argument is taken from.
pub(crate) fn not_taken() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "body-not-taken", "this method takes no body").closing()
}
