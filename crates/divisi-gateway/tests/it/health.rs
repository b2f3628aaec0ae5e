//! `/livez`, `/readyz` and pages.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use divisi_call::BoxFuture;
use divisi_gateway::{Gateway, Health, Limits, Metrics, Report};
use serde_json::json;

use crate::client::Running;
use crate::edge::Things;

enum State {
    Well,
    NotReady,
    Broken,
}

impl Health for State {
    fn live(&self) -> Report {
        match self {
            State::Broken => Report::unwell("the relay has stopped"),
            _ => Report::well(),
        }
    }

    fn ready(&self) -> BoxFuture<'_, Report> {
        Box::pin(async move {
            match self {
                State::Well => Report::well(),
                State::NotReady | State::Broken => Report {
                    reasons: vec!["posts is not reachable".to_owned(), "comments is behind".to_owned()],
                },
            }
        })
    }
}

fn gateway() -> Gateway {
    Gateway::new("gateway".into(), vec![Arc::new(Things::default())], Limits::default()).unwrap()
}

#[tokio::test]
async fn health_is_told_with_its_reasons() {
    let both = json!(["posts is not reachable", "comments is behind"]);
    let none = json!([]);
    for (state, live, ready) in [
        (None, (200, "live", &none), (200, "ready", &none)),
        (Some(State::Well), (200, "live", &none), (200, "ready", &none)),
        (Some(State::NotReady), (200, "live", &none), (503, "not ready", &both)),
        (
            Some(State::Broken),
            (503, "not live", &json!(["the relay has stopped"])),
            (503, "not ready", &both),
        ),
    ] {
        let gateway = match state {
            None => gateway(),
            Some(state) => gateway().health(Arc::new(state)),
        };
        let running = Running::start(gateway).await;
        for (path, (status, word, reasons)) in [("/livez", live), ("/readyz", ready)] {
            let reply = running.ask(&format!("GET {path}")).await;
            assert_eq!((reply.status, reply.json()), (status, json!({ "status": word, "reasons": reasons })));
            assert_eq!(reply.header("cache-control"), Some("no-store"));
        }
    }
}

struct Counts;

impl Metrics for Counts {
    fn text(&self) -> BoxFuture<'_, String> {
        Box::pin(async { "things 7\n".to_owned() })
    }
}

#[tokio::test]
async fn what_is_counted_is_told_if_anybody_counts() {
    let running = Running::start(gateway()).await;
    running.ask("GET /metrics").await.problem(404, "no-such-path");
    let running = Running::start(gateway().metrics(Arc::new(Counts))).await;
    let reply = running.ask("GET /metrics").await;
    assert_eq!((reply.status, &reply.body[..]), (200, &b"things 7\n"[..]));
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    running.ask("DELETE /metrics").await.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn pages_stand_beside_methods() {
    let pages = Router::new()
        .route("/", get(|| async { "a page" }))
        .route("/things/changes", get(|| async { "a stream" }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("a page panics")
                }
            }),
        );
    let running = Running::start(gateway().pages(pages)).await;
    assert_eq!(running.ask("GET /").await.body, b"a page");
    assert_eq!(running.ask("GET /things/changes").await.body, b"a stream");
    assert_eq!(running.ask("GET /things/7").await.json()["method"], "get");
    running.ask("GET /nothing").await.problem(404, "no-such-path");
    let mut client = running.connect().await;
    client.send(b"GET /panic HTTP/1.1\r\nhost: t\r\n\r\n").await;
    client.end().await;
    assert_eq!(running.ask("GET /").await.status, 200, "a page's panic costs its connection only");
}
