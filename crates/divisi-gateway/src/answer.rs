//! Answers as they stand on the wire.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use divisi_contract::Trace;

/// An answer of a method: JSON, or no body at all where the status says so.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    if status == StatusCode::NO_CONTENT {
        return empty(status);
    }
    with_type(status, body, HeaderValue::from_static("application/json"))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer with a body of this type.
pub(crate) fn with_type(status: StatusCode, body: Vec<u8>, content_type: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Where a request stands in its trace: below the caller's step, or at the root of a new one.
pub(crate) fn trace_of(headers: &HeaderMap) -> Trace {
    let parent = headers.get("traceparent").and_then(|parent| parent.to_str().ok()).and_then(Trace::parse);
    parent.map_or_else(Trace::root, Trace::child)
}

/// Names the trace in the answer, so that whoever reports it can say where to look.
pub(crate) fn name_trace(response: &mut Response, trace: Trace) {
    let text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let mut text = text;
    hex(&mut text[3..35], trace.trace_id);
    hex(&mut text[36..52], trace.span_id.into());
    hex(&mut text[53..55], u128::from(trace.sampled));
    // Hexadecimal digits and dashes are a header value.
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        response.headers_mut().insert("traceresponse", value);
    }
}

fn hex(digits: &mut [u8], mut number: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_named_as_it_is_written_elsewhere() {
        for sampled in [true, false] {
            let trace = Trace { trace_id: 0xfedc_ba98_7654_3210_0123, span_id: 0xdead_beef, sampled };
            let mut response = empty(StatusCode::OK);
            name_trace(&mut response, trace);
            assert_eq!(response.headers()["traceresponse"].to_str().unwrap(), trace.to_string());
        }
    }
}
