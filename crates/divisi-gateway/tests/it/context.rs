//! What travels with a call: caller, deadline, trace, idempotency key.

use std::time::Duration;

use divisi_gateway::Limits;
use serde_json::Value;

use crate::client::{Reply, Running};
use crate::edge::Things;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_call_is_made_in_the_name_of_the_gateway_with_a_deadline() {
    let limits = Limits { request_time_max: Duration::from_secs(7), ..Limits::default() };
    let running = Running::of(Things::default(), limits).await;
    let seen = running.ask("GET /things").await.json();
    assert_eq!(seen["caller"], "gateway");
    let left_ms = seen["left_ms"].as_u64().unwrap();
    assert!((1..=7_000).contains(&left_ms), "{left_ms}");
}

#[tokio::test]
async fn a_trace_goes_on_and_is_named_in_the_answer() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let reply = running.connect().await.ask("GET /things", &[("traceparent", PARENT)], b"").await;
    let trace = reply.json()["trace"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("traceresponse"), Some(trace.as_str()));
    assert_eq!(&trace[..36], &PARENT[..36], "the same trace");
    assert_ne!(trace[36..52], PARENT[36..52], "another step of it");
    let missing = running.connect().await.ask("GET /nothing", &[("traceparent", PARENT)], b"").await;
    assert_eq!(missing.problem(404, "no-such-path")["trace_id"], PARENT[3..35]);
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let mut traces = Vec::new();
    for parent in
        [None, Some("rubbish"), Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), Some("é")]
    {
        let headers: Vec<(&str, &str)> = parent.map(|parent| ("traceparent", parent)).into_iter().collect();
        let reply = running.connect().await.ask("GET /things", &headers, b"").await;
        assert_eq!(reply.status, 200, "a trace that cannot be read is no reason to fail");
        traces.push(reply.json()["trace"].as_str().unwrap()[3..35].to_owned());
    }
    traces.push("0".repeat(32));
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), 5, "each has a trace of its own: {traces:?}");
}

async fn with_key(running: &Running, request: &str, keys: &[&str]) -> Reply {
    let mut headers: Vec<(&str, &str)> = keys.iter().map(|key| ("Idempotency-Key", *key)).collect();
    let body: &[u8] = if request.starts_with("GET") { b"" } else { b"{}" };
    headers.push(("content-type", "application/json"));
    running.connect().await.ask(request, &headers, body).await
}

#[tokio::test]
async fn a_key_reaches_a_method_that_keeps_its_answers() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let longest = "k".repeat(255);
    for key in ["a", "order-17", "\"quoted\"", &longest] {
        let reply = with_key(&running, "POST /things", &[key]).await;
        assert_eq!((reply.status, reply.json()["key"].as_str()), (201, Some(key)));
    }
    assert_eq!(with_key(&running, "POST /things", &[]).await.json()["key"], Value::Null);
}

#[tokio::test]
async fn a_key_that_cannot_be_kept_is_refused_before_anything_runs() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits::default()).await;
    let too_long = "k".repeat(256);
    for key in ["", "a b", "ké", "a\tb", &too_long] {
        with_key(&running, "POST /things", &[key]).await.problem(400, "bad-idempotency-key");
    }
    with_key(&running, "POST /things", &["a", "b"]).await.problem(400, "bad-idempotency-key");
    with_key(&running, "PUT /things/7", &["a"]).await.problem(400, "idempotency-key-not-kept");
    assert_eq!(things.calls(), 0);
}

#[tokio::test]
async fn a_method_that_may_be_repeated_anyway_takes_a_key_and_does_not_need_it() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let reply = with_key(&running, "GET /things", &["a"]).await;
    assert_eq!((reply.status, &reply.json()["key"]), (200, &Value::Null));
}
