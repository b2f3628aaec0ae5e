//! Which verbs stand at a path, and what the others are told.

use divisi_gateway::Limits;

use crate::client::Running;
use crate::edge::Things;

#[tokio::test]
async fn a_verb_that_a_path_does_not_take_is_told_which_ones_it_takes() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for (request, allow) in [
        ("PUT /things", "GET, HEAD, POST, OPTIONS"),
        ("PATCH /things/7", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("GET /things/7/poke", "POST, OPTIONS"),
        ("HEAD /things/7/poke", "POST, OPTIONS"),
        ("BREW /things", "GET, HEAD, POST, OPTIONS"),
        ("POST /livez", "GET, HEAD, OPTIONS"),
    ] {
        let reply = running.ask(request).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{request}");
        if !request.starts_with("HEAD") {
            reply.problem(405, "method-not-allowed");
        }
    }
}

#[tokio::test]
async fn options_answers_what_a_path_takes() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for (path, allow) in [("/things", "GET, HEAD, POST, OPTIONS"), ("/readyz", "GET, HEAD, OPTIONS")] {
        let reply = running.ask(&format!("OPTIONS {path}")).await;
        assert_eq!((reply.status, reply.header("allow")), (204, Some(allow)));
        assert!(reply.body.is_empty());
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits::default()).await;
    let mut client = running.connect().await;
    let head = client.ask("HEAD /things", &[], b"").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/json")));
    let length: usize = head.header("content-length").unwrap().parse().unwrap();
    assert!(length > 0, "it says how long the body would be");
    let get = client.ask("GET /things", &[], b"").await;
    assert_eq!((get.status, get.json()["method"].as_str()), (200, Some("list")));
    assert_eq!(things.calls(), 2);
}

#[tokio::test]
async fn two_routes_lead_to_one_method() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for path in ["/things", "/things/add"] {
        let reply = running.connect().await.ask_json(&format!("POST {path}"), "{}").await;
        assert_eq!((reply.status, reply.json()["method"].as_str()), (201, Some("add")), "{path}");
    }
}

#[tokio::test]
async fn a_literal_path_wins_over_an_argument() {
    let running = Running::of(Things::default(), Limits::default()).await;
    // `/things/add` is a path of its own, which takes POST alone.
    let reply = running.ask("GET /things/add").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST, OPTIONS")));
}

#[tokio::test]
async fn a_path_where_nothing_stands_is_a_problem() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for path in ["/", "/nothing", "/things/", "/things//poke", "//things", "/things/7/parts/1/2", "/THINGS"] {
        running.ask(&format!("GET {path}")).await.problem(404, "no-such-path");
    }
    running.ask("POST /inner").await.problem(404, "no-such-path");
}

#[tokio::test]
async fn an_answer_without_content_has_no_body() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let mut client = running.connect().await;
    let reply = client.ask("DELETE /things/7", &[], b"").await;
    assert_eq!(
        (reply.status, reply.header("content-type"), reply.header("content-length")),
        (204, None, None)
    );
    assert_eq!(client.ask("GET /things", &[], b"").await.status, 200, "the connection goes on");
}
