//! The body of a request, collected once and never beyond its limit.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use crate::problem::Problem;

/// How much of a refused body is read on and thrown away. Whoever is still sending when the connection closes may
/// never read why; whoever sends more than this has to look at the status of its upload.
const DISCARD_BYTES_MAX: u64 = 8 << 20;
/// How long the next piece of a refused body is waited for.
const DISCARD_PAUSE_MAX: Duration = Duration::from_millis(250);

/// Which body an endpoint takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Whether an argument is taken from it at all.
    pub(crate) taken: bool,
    /// The largest that is taken.
    pub(crate) bytes_max: usize,
    /// Until when it must have arrived.
    pub(crate) until: Instant,
}

/// Reads the body, or says why not; empty when there is none. One that came in one piece is not copied.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, wanted: Wanted) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = body.size_hint().lower();
    let refused = match refused_unread(headers, announced, wanted) {
        Some(problem) => problem,
        None => match timeout_at(wanted.until, collect(&mut body, wanted.bytes_max, announced)).await {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(problem)) => problem,
            Err(_) => return Err(too_slow().closing()),
        },
    };
    // Whoever asks before it sends has not sent.
    let whole = !headers.contains_key(header::EXPECT)
        && announced <= DISCARD_BYTES_MAX
        && timeout_at(wanted.until, discard(&mut body)).await.unwrap_or(false);
    Err(if whole { refused } else { refused.closing() })
}

/// Why the body is refused by what its head says.
fn refused_unread(headers: &HeaderMap, announced: u64, wanted: Wanted) -> Option<Problem> {
    if !wanted.taken {
        return Some(Problem::new(StatusCode::BAD_REQUEST, "body-not-taken", "this method takes no body"));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Some(not_json("a body is taken as it is, without a `Content-Encoding`"));
    }
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return Some(not_json("a body needs `Content-Type: application/json`; it has none"));
    };
    if !content_type.to_str().is_ok_and(names_json) {
        return Some(not_json("a body needs `Content-Type: application/json`; it has another one"));
    }
    (announced > wanted.bytes_max as u64).then(|| too_large(wanted.bytes_max))
}

async fn collect(body: &mut Body, bytes_max: usize, announced: u64) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(piece) = next(body).await {
        let piece = piece.map_err(|BrokenOff| {
            Problem::new(StatusCode::BAD_REQUEST, "body-broken", "the body broke off or is not well framed")
        })?;
        if first.len() + all.len() + piece.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if first.is_empty() && all.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            // What is announced is within the limit by now.
            all.reserve_exact(usize::try_from(announced).unwrap_or(0));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&piece);
    }
    Ok(if all.is_empty() { first } else { Bytes::from(all) })
}

/// Throws the rest of a body away; whether that was all of it.
async fn discard(body: &mut Body) -> bool {
    let mut n_bytes = 0;
    while n_bytes <= DISCARD_BYTES_MAX {
        match timeout(DISCARD_PAUSE_MAX, next(body)).await {
            Ok(Some(Ok(piece))) => n_bytes += piece.len() as u64,
            Ok(None) => return true,
            Ok(Some(Err(BrokenOff))) | Err(_) => return false,
        }
    }
    false
}

/// The body broke off, or is not well framed.
struct BrokenOff;

/// The next piece. Trailers say nothing to a contract and are an empty one.
async fn next(body: &mut Body) -> Option<Result<Bytes, BrokenOff>> {
    let frame = poll_fn(|task| Pin::new(&mut *body).poll_frame(task)).await?;
    Some(match frame {
        Ok(frame) => Ok(frame.into_data().unwrap_or_default()),
        Err(_) => Err(BrokenOff),
    })
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
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body is larger than {bytes_max} bytes, which is the limit");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

fn too_slow() -> Problem {
    let detail = "the body did not arrive within the time for a request";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail).ran("no")
}
