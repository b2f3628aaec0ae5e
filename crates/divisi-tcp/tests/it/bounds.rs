//! Every limit holds, and says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use divisi_contract::{CauseKind, Context};
use divisi_tcp::Limits;
use divisi_tcp::message::Kind;
use tokio::io::AsyncWriteExt;

use crate::raw::{Raw, frame, hello, request};
use crate::support::*;

const NEVER: u64 = u64::MAX;

#[tokio::test]
async fn a_request_that_is_too_large_is_not_sent() {
    let server = Running::start(Limits { frame_max: 64 * 1024, ..Limits::default() }).await;
    let client = server.client();
    let outcome = ask(&client, &ECHO, &cx(), &vec![0; 64 * 1024]).await;
    assert_not_run(&outcome, CauseKind::TooLarge, "the limit is 65536");
    assert_eq!(server.probe.ran.load(Ordering::SeqCst), 0);
    assert!(ask(&client, &ECHO, &cx(), &vec![0; 60 * 1024]).await.is_ok(), "the connection is as it was");
}

#[tokio::test]
async fn an_answer_that_is_too_large_may_have_run() {
    let server = Running::start(Limits::default()).await;
    let client = client(&server.addr, Limits { frame_max: 64 * 1024, ..Limits::default() });
    let outcome = ask(&client, &LARGE, &cx(), b"65536").await;
    assert_may_have_run(&outcome, CauseKind::AnswerTooLarge, "the answer has 65536 bytes");
    assert!(ask(&client, &LARGE, &cx(), b"65526").await.is_ok(), "the largest that fits");
}

#[tokio::test]
async fn a_megabyte_comes_through_in_both_directions() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    assert_eq!(ask(&client, &ECHO, &cx(), &large).await, Ok(Bytes::from(large)));
}

#[tokio::test]
async fn names_that_are_too_long_are_refused_in_words() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    let outcome = ask(&client, &ECHO, &Context::root("x".repeat(256)), b"").await;
    assert_not_run(&outcome, CauseKind::TooLarge, "the caller's name has 256 bytes");
    let outcome = ask(&client, &ECHO, &cx().with_key("x".repeat(65_535)), b"").await;
    assert_not_run(&outcome, CauseKind::TooLarge, "the idempotency key has 65535 bytes");
    assert!(ask(&client, &ECHO, &cx().with_key("x".repeat(65_534)), b"").await.is_ok());
}

#[tokio::test]
async fn a_server_refuses_one_call_too_many() {
    let server = Running::start(Limits { calls_in_flight_max: 2, ..Limits::default() }).await;
    let mut raw = Raw::client(&server.addr).await;
    for id in 1..=3 {
        raw.send(Kind::Request as u8, id, &request("wait", NEVER, b"")).await;
    }
    let (id, outcome) = raw.answer().await;
    assert_eq!(id, 3);
    assert_not_run(&outcome, CauseKind::Overloaded, "2 calls in flight");
    raw.send(Kind::Cancel as u8, 1, b"").await;
    raw.send(Kind::Request as u8, 4, &request("echo", NEVER, b"4")).await;
    assert_eq!(raw.answer().await, (4, Ok(Bytes::from_static(b"4"))), "a place is free again");
}

#[tokio::test]
async fn a_client_keeps_the_servers_limit_on_calls() {
    let server = Running::start(Limits { calls_in_flight_max: 1, ..Limits::default() }).await;
    let client = Arc::new(server.client());
    let held = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, &WAIT, &cx(), b"").await }
    });
    server.probe.until("the call runs", |probe| probe.began.load(Ordering::SeqCst) == 1).await;
    let outcome = ask(&client, &ECHO, &cx(), b"").await;
    assert_not_run(&outcome, CauseKind::Overloaded, "`posts` has 1 calls in flight on this connection");
    server.probe.gate.add_permits(1);
    assert!(held.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn one_connection_too_many_is_refused_in_words() {
    let server = Running::start(Limits { connections_max: 1, ..Limits::default() }).await;
    let _first = Raw::client(&server.addr).await;
    let mut second = Raw::connect(&server.addr).await;
    second.greet(&hello(1, 1)).await;
    let frame = second.first().await;
    assert_eq!(frame.kind, Kind::Refuse as u8);
    let text = String::from_utf8_lossy(&frame.body).into_owned();
    assert!(text.contains("this server has 1 connections, which is its limit"), "{text}");
    assert!(second.next().await.is_none(), "and it is closed");
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_not_asked_for_more() {
    let limits =
        Limits { write_buffer_max: 256 * 1024, idle_max: Duration::from_millis(300), ..Limits::default() };
    let server = Running::start(limits).await;
    let mut raw = Raw::client(&server.addr).await;
    for id in 1..=2_000 {
        raw.send(Kind::Request as u8, id, &request("large", NEVER, b"262144")).await;
    }
    // Half a gigabyte was asked for. The server stops reading, and hangs up when nothing moves any more.
    let ping = frame(Kind::Ping as u8, 0, b"");
    in_time("the server hangs up", async { while raw.stream.write_all(&ping).await.is_ok() {} }).await;
    let ran = server.probe.ran.load(Ordering::SeqCst);
    assert!(ran < 200, "{ran} answers of 256 KiB were made for a client that takes none");
}

#[tokio::test]
async fn answers_that_nobody_takes_are_kept_up_to_a_limit() {
    const CALLS: u64 = 60;
    const UNREAD_MAX: usize = 1024 * 1024;
    let server = Running::start(Limits { unread_max: UNREAD_MAX, ..Limits::default() }).await;
    let mut raw = Raw::client(&server.addr).await;
    for id in 1..=CALLS {
        raw.send(Kind::Request as u8, id, &request("wait", NEVER, &[7; 512 * 1024])).await;
    }
    server.probe.until("all run", |probe| probe.began.load(Ordering::SeqCst) == CALLS as usize).await;
    server.probe.gate.add_permits(CALLS as usize);
    server.probe.until("all have ended", |probe| probe.ended.load(Ordering::SeqCst) == CALLS as usize).await;
    let (mut bytes, mut thrown_away) = (0, 0);
    for _ in 0..CALLS {
        match raw.answer().await.1 {
            Ok(answer) => bytes += answer.len(),
            outcome => {
                assert_may_have_run(&outcome, CauseKind::Overloaded, "does not take those before it");
                thrown_away += 1;
            }
        }
    }
    // The rest lies in the buffers of two sockets.
    assert!(bytes < UNREAD_MAX + 12 * 1024 * 1024, "{bytes} bytes were kept for a client that takes none");
    assert!(thrown_away > 0);
    raw.send(Kind::Request as u8, CALLS + 1, &request("echo", NEVER, b"x")).await;
    assert_eq!(raw.answer().await.1, Ok(Bytes::from_static(b"x")), "the connection is as it was");
}

#[tokio::test]
async fn a_server_hangs_up_on_a_silent_client() {
    let server = Running::start(Limits { idle_max: Duration::from_millis(50), ..Limits::default() }).await;
    let mut raw = Raw::client(&server.addr).await;
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn a_server_hangs_up_on_who_does_not_greet() {
    let limits = Limits { handshake_within: Duration::from_millis(50), ..Limits::default() };
    let server = Running::start(limits).await;
    let mut raw = Raw::connect(&server.addr).await;
    raw.write(b"divi").await;
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn callers_wait_for_room_and_lose_nothing() {
    let server = Running::start(Limits::default()).await;
    let client = Arc::new(client(&server.addr, Limits { write_buffer_max: 1, ..Limits::default() }));
    let calls: Vec<_> = (0..50_u8)
        .map(|n| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { ask(&client, &ECHO, &cx_for(PATIENCE), &vec![n; 100_000]).await })
        })
        .collect();
    for (n, call) in (0..).zip(calls) {
        assert_eq!(call.await.expect("no panic"), Ok(Bytes::from(vec![n; 100_000])));
    }
}
