//! Arguments from path and query.

use divisi_gateway::Limits;
use serde_json::json;

use crate::client::Running;
use crate::edge::Things;

#[tokio::test]
async fn a_path_argument_arrives_decoded() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let check = async |path: &str, value: &str| {
        let reply = running.ask(&format!("GET /things/{path}")).await;
        assert_eq!((reply.status, &reply.json()["path"]), (200, &json!([["id", value]])), "{path}");
    };
    check("7", "7").await;
    check("a%20b", "a b").await;
    check("a%2Fb", "a/b").await;
    check("caf%C3%A9", "café").await;
    check("a+b", "a+b").await;
    check("%7Bid%7D", "{id}").await;
    check("7?x=y", "7").await;
    let parts = running.ask("GET /things/1/parts/%32").await;
    assert_eq!(parts.json()["path"], json!([["thing", "1"], ["part", "2"]]));
}

#[tokio::test]
async fn a_query_arrives_decoded_and_without_what_nobody_asked_for() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let check = async |query: &str, expected: serde_json::Value| {
        let reply = running.ask(&format!("GET /things{query}")).await;
        assert_eq!((reply.status, &reply.json()["query"]), (200, &expected), "{query}");
    };
    check("", json!([])).await;
    check("?", json!([])).await;
    check("?limit=3&after=a+b%26c&utm_source=x", json!([["limit", "3"], ["after", "a b&c"]])).await;
    check("?limit=", json!([["limit", ""]])).await;
}

#[tokio::test]
async fn everything_wrong_with_path_and_query_is_named_at_once() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits::default()).await;
    let problem = running.ask("GET /things/%ff?shape=%zz&shape=1").await.problem(400, "bad-request");
    assert_eq!(
        problem["errors"],
        json!([
            { "message": "is not UTF-8 once it is percent-decoded", "field": "id" },
            { "message": "has a `%` that is not followed by two hexadecimal digits", "field": "shape" },
        ])
    );
    let problem = running.ask("GET /things?limit=1&limit=2").await.problem(400, "bad-request");
    assert_eq!(problem["errors"], json!([{ "message": "is given twice", "field": "limit" }]));
    assert_eq!(things.calls(), 0, "a request that cannot be read is not a call");
}
