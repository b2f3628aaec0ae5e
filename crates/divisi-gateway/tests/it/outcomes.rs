//! What a call that brought no answer looks like from outside.

use std::time::Duration;

use divisi_gateway::Limits;
use serde_json::{Value, json};

use crate::client::{Reply, Running};
use crate::edge::Things;

async fn fail(running: &Running, how: &str) -> Reply {
    running.ask(&format!("GET /fail/{how}")).await
}

#[tokio::test]
async fn a_refusal_has_the_status_code_and_words_of_the_contract() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for status in [404, 409, 422, 503] {
        let problem = fail(&running, &format!("refused.{status}")).await.problem(status, "no-such-thing");
        assert_eq!(problem["detail"], "there is no such thing");
        assert_eq!((&problem["errors"], &problem["did_it_run"]), (&Value::Null, &Value::Null));
    }
    for status in [7, 200, 304, 999] {
        fail(&running, &format!("refused.{status}")).await.problem(422, "no-such-thing");
    }
}

#[tokio::test]
async fn every_failed_rule_is_named() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let errors = json!([
        { "message": "must not be empty", "field": "title" },
        { "message": "are too many", "field": "tags" },
    ]);
    for (how, status, code) in [
        ("invalid", 422, "invalid"),
        ("bad_request.422", 422, "invalid"),
        ("bad_request.400", 400, "bad-request"),
    ] {
        assert_eq!(fail(&running, how).await.problem(status, code)["errors"], errors, "{how}");
    }
}

#[tokio::test]
async fn a_call_that_did_not_run_says_so() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for (kind, status, code) in [
        ("unreachable", 503, "unavailable"),
        ("disconnected", 503, "unavailable"),
        ("store", 503, "unavailable"),
        ("transaction_too_long", 503, "unavailable"),
        ("of_a_newer_peer", 503, "unavailable"),
        ("overloaded", 503, "overloaded"),
        ("draining", 503, "draining"),
        ("conflict", 503, "conflict"),
        ("deadline_passed", 503, "deadline-passed"),
        ("malformed", 502, "versions-differ"),
        ("no_such_method", 502, "versions-differ"),
        ("bug", 500, "bug"),
        ("waited_in_transaction", 500, "bug"),
        ("answer_too_large", 500, "answer-too-large"),
    ] {
        let reply = fail(&running, &format!("not_run.{kind}")).await;
        let problem = reply.problem(status, code);
        assert_eq!(problem["did_it_run"], "no", "{kind}");
        assert!(!problem.to_string().contains("secret"), "{kind}: what is behind the edge was shown");
        assert_eq!(reply.header("retry-after"), (status == 503).then_some("1"), "{kind}");
    }
}

#[tokio::test]
async fn a_callers_own_mistake_is_told_in_the_callees_words() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for (kind, status, code) in [
        ("key_reused", 422, "idempotency-key-reused"),
        ("not_allowed", 403, "not-allowed"),
        ("too_large", 413, "too-large"),
    ] {
        let problem = fail(&running, &format!("not_run.{kind}")).await.problem(status, code);
        assert_eq!(
            (&problem["did_it_run"], &problem["detail"]),
            (&json!("no"), &json!("secret words of the callee"))
        );
    }
}

#[tokio::test]
async fn a_call_that_may_have_run_says_so() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for (kind, status, code) in [
        ("deadline_passed", 504, "deadline-passed"),
        ("disconnected", 504, "answer-lost"),
        ("malformed", 504, "answer-lost"),
        ("of_a_newer_peer", 504, "answer-lost"),
        ("bug", 500, "bug"),
        ("answer_too_large", 500, "answer-too-large"),
        ("too_large", 500, "answer-too-large"),
    ] {
        let reply = fail(&running, &format!("may_have_run.{kind}")).await;
        let problem = reply.problem(status, code);
        assert_eq!(problem["did_it_run"], "unknown", "{kind}");
        assert!(!problem.to_string().contains("secret"), "{kind}: what is behind the edge was shown");
        assert_eq!(reply.header("retry-after"), None, "{kind}");
    }
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_goes_on() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let mut client = running.connect().await;
    for path in ["/fail/panic", "/things/panic-before-it-waits"] {
        let problem = client.ask(&format!("GET {path}"), &[], b"").await.problem(500, "bug");
        assert_eq!(problem["did_it_run"], "unknown");
        assert!(!problem.to_string().contains("secret"), "what a panic said was shown");
    }
    assert_eq!(client.ask("GET /things", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_call_that_never_ends_is_given_up_and_dropped() {
    let things = Things::default();
    let limits = Limits { request_time_max: Duration::from_millis(10), ..Limits::default() };
    let running = Running::of(things.clone(), limits).await;
    let problem = fail(&running, "never").await.problem(504, "deadline-passed");
    assert_eq!(problem["did_it_run"], "unknown");
    things.dropped(1).await;
}
