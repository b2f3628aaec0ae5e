//! Bodies: their type, their size and their time.

use std::time::Duration;

use divisi_gateway::Limits;

use crate::client::Running;
use crate::edge::Things;

#[tokio::test]
async fn a_json_body_arrives_as_it_is() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for content_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
    ] {
        let reply = running
            .connect()
            .await
            .ask("POST /things", &[("content-type", content_type)], br#"{"title":"x"}"#)
            .await;
        assert_eq!(
            (reply.status, reply.json()["body"].as_str()),
            (201, Some(r#"{"title":"x"}"#)),
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn a_body_in_pieces_arrives_whole() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let mut client = running.connect().await;
    client
        .send(b"POST /things HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for piece in ["3\r\n{\"a\r\n", "2\r\n\":\r\n", "2\r\n1}\r\n", "0\r\n\r\n"] {
        client.send(piece.as_bytes()).await;
    }
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.json()["body"].as_str()), (201, Some("{\"a\":1}")));
    assert_eq!(client.ask("GET /things", &[], b"").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_body_of_another_type_is_refused_in_words() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits::default()).await;
    let ask = async |headers: &[(&str, &str)]| {
        let reply = running.connect().await.ask("POST /things", headers, b"{}").await;
        reply.problem(415, "unsupported-media-type")["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask(&[]).await, "a body needs `Content-Type: application/json`; it has none");
    let other = "a body needs `Content-Type: application/json`; it has another one";
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin1",
        "é",
        "",
    ] {
        assert_eq!(ask(&[("content-type", content_type)]).await, other, "{content_type}");
    }
    let encoded = ask(&[("content-type", "application/json"), ("content-encoding", "gzip")]).await;
    assert_eq!(encoded, "a body is taken as it is, without a `Content-Encoding`");
    assert_eq!(things.calls(), 0);
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits { body_bytes_max: 10, ..Limits::default() }).await;
    let mut client = running.connect().await;
    client
        .send(b"POST /things HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n")
        .await;
    let reply = client.reply().await;
    let problem = reply.problem(413, "body-too-large");
    assert_eq!(problem["detail"], "the body is larger than 10 bytes, which is the limit");
    assert_eq!(reply.header("connection"), Some("close"));
    client.end().await;
    let fits = running.connect().await.ask_json("POST /things", "\"12345678\"").await;
    assert_eq!((fits.status, things.calls()), (201, 1), "a body of just the limit is taken");
}

#[tokio::test]
async fn whoever_has_sent_a_refused_body_reads_why_and_goes_on() {
    let running = Running::of(Things::default(), Limits { body_bytes_max: 10, ..Limits::default() }).await;
    let mut client = running.connect().await;
    let large = "x".repeat(4 << 20);
    client.ask_json("POST /things", &large).await.problem(413, "body-too-large");
    client.ask("POST /things", &[], large.as_bytes()).await.problem(415, "unsupported-media-type");
    client.ask_json("POST /things/7/poke", &large).await.problem(400, "body-not-taken");
    assert_eq!(client.ask("GET /things", &[], b"").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn whoever_asks_before_it_sends_is_refused_before_it_does() {
    let running = Running::of(Things::default(), Limits { body_bytes_max: 10, ..Limits::default() }).await;
    let mut client = running.connect().await;
    let head =
        "POST /things HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n";
    client.send(format!("{head}content-length: 11\r\n\r\n").as_bytes()).await;
    client.reply().await.problem(413, "body-too-large");
    client.end().await;
    let mut client = running.connect().await;
    client.send(format!("{head}content-length: 2\r\n\r\n").as_bytes()).await;
    assert_eq!(client.reply().await.status, 100);
    client.send(b"{}").await;
    assert_eq!(client.reply().await.status, 201);
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused_where_it_does() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits { body_bytes_max: 10, ..Limits::default() }).await;
    let head = "POST /things HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = running.connect().await;
    client.send(format!("{head}6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n").as_bytes()).await;
    client.reply().await.problem(413, "body-too-large");
    assert_eq!(client.ask("DELETE /things/7", &[], b"").await.status, 204, "the connection goes on");
    // The same without an end.
    client.send(format!("{head}6\r\n123456\r\n5\r\n12345\r\n").as_bytes()).await;
    let reply = client.reply().await;
    reply.problem(413, "body-too-large");
    assert_eq!(reply.header("connection"), Some("close"));
    client.end().await;
    assert_eq!(things.calls(), 1, "only the one in between was a call");
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let things = Things::default();
    let limits = Limits { request_time_max: Duration::from_millis(50), ..Limits::default() };
    let running = Running::of(things.clone(), limits).await;
    for head in ["content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let mut client = running.connect().await;
        client.send(b"POST /things HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n").await;
        client.send(head.as_bytes()).await;
        let reply = client.reply().await;
        assert_eq!(reply.problem(408, "body-too-slow")["did_it_run"], "no");
        assert_eq!(reply.header("connection"), Some("close"));
        client.end().await;
    }
    assert_eq!(things.calls(), 0);
}

#[tokio::test]
async fn a_body_that_nobody_takes_is_refused() {
    let running = Running::of(Things::default(), Limits::default()).await;
    for request in ["POST /things/7/poke", "DELETE /things/7", "GET /things"] {
        running.connect().await.ask_json(request, "{}").await.problem(400, "body-not-taken");
    }
    let empty = running.connect().await.ask("POST /things/7/poke", &[("content-length", "0")], b"").await;
    assert_eq!(empty.status, 200, "an empty body is none");
}

#[tokio::test]
async fn a_body_that_is_badly_framed_is_refused() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits::default()).await;
    let mut client = running.connect().await;
    client
        .send(b"POST /things HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
        .await;
    client.reply().await.problem(400, "body-broken");
    client.end().await;
    assert_eq!(things.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_of_time_a_body_takes_its_time() {
    let limits = Limits { request_time_max: Duration::MAX, ..Limits::default() };
    let running = Running::of(Things::default(), limits).await;
    let mut client = running.connect().await;
    let head = "POST /things HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 2\r\n";
    client.send(format!("{head}expect: 100-continue\r\n\r\n").as_bytes()).await;
    assert_eq!(client.reply().await.status, 100, "the body is waited for");
    // The clock is paused: an hour passes as soon as there is nothing to do but wait.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    client.send(b"{}").await;
    assert_eq!(client.reply().await.status, 201);
}
