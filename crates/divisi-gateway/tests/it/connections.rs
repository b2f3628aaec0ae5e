//! Connections: kept, limited, drained, cut.

use std::time::Duration;

use divisi_gateway::Limits;
use tokio::net::{TcpListener, TcpStream};

use crate::client::Running;
use crate::edge::Things;

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let mut client = running.connect().await;
    for n in 0..20 {
        assert_eq!(client.ask(&format!("GET /things/{n}"), &[], b"").await.status, 200);
        assert_eq!(client.ask("GET /nothing", &[], b"").await.status, 404);
        assert_eq!(client.ask_json("POST /things", "{}").await.status, 201);
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let mut client = running.connect().await;
    let requests: String = (0..20).map(|n| format!("GET /things/{n} HTTP/1.1\r\nhost: t\r\n\r\n")).collect();
    client.send(requests.as_bytes()).await;
    for n in 0..20 {
        assert_eq!(client.reply().await.json()["path"][0][1], n.to_string());
    }
}

#[tokio::test]
async fn whoever_hangs_up_cancels_the_call() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits::default()).await;
    let mut client = running.connect().await;
    client.send(b"GET /fail/never HTTP/1.1\r\nhost: t\r\n\r\n").await;
    things.waiting(1).await;
    drop(client);
    things.dropped(1).await;
}

#[tokio::test]
async fn a_gateway_that_stops_answers_what_is_open() {
    let things = Things::default();
    let mut running = Running::of(things.clone(), Limits::default()).await;
    let mut idle = running.connect().await;
    assert_eq!(idle.ask("GET /things", &[], b"").await.status, 200);
    let mut client = running.connect().await;
    client.send(b"GET /fail/wait HTTP/1.1\r\nhost: t\r\n\r\n").await;
    things.waiting(1).await;
    running.stop();
    running.is_deaf().await;
    idle.end().await;
    things.go_on();
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    client.end().await;
    running.stopped().await;
}

#[tokio::test]
async fn what_does_not_end_while_the_gateway_stops_is_cut() {
    let things = Things::default();
    let limits = Limits { drain_time_max: Duration::from_millis(10), ..Limits::default() };
    let mut running = Running::of(things.clone(), limits).await;
    let mut client = running.connect().await;
    client.send(b"GET /fail/never HTTP/1.1\r\nhost: t\r\n\r\n").await;
    things.waiting(1).await;
    running.stop();
    client.end().await;
    things.dropped(1).await;
    running.stopped().await;
}

#[tokio::test]
async fn a_gateway_that_is_dropped_leaves_no_connection() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits::default()).await;
    let mut client = running.connect().await;
    client.send(b"GET /fail/never HTTP/1.1\r\nhost: t\r\n\r\n").await;
    things.waiting(1).await;
    drop(running);
    client.end().await;
    things.dropped(1).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let things = Things::default();
    let running = Running::of(things.clone(), Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = running.connect().await;
    assert_eq!(first.ask("GET /things", &[], b"").await.status, 200);
    let mut second = running.connect().await;
    second.send(b"GET /things HTTP/1.1\r\nhost: t\r\n\r\n").await;
    for n in 2..20 {
        assert_eq!(first.ask("GET /things", &[], b"").await.status, 200);
        assert_eq!(things.calls(), n, "the second connection was served beside the first");
    }
    drop(first);
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let limits = Limits { head_time_max: Duration::from_millis(50), ..Limits::default() };
    let running = Running::of(Things::default(), limits).await;
    let mut client = running.connect().await;
    client.send(b"GET /things HTTP/1.1\r\nhost: t\r\nx-slow: ").await;
    client.end().await;
}

#[tokio::test]
async fn whoever_asks_and_takes_no_answers_is_cut() {
    let limits = Limits { answer_stall_max: Duration::from_millis(50), ..Limits::default() };
    let running = Running::of(Things::default(), limits).await;
    let mut client = running.connect().await;
    let body = "x".repeat(900_000);
    let head = "POST /things HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    client.send_until_cut(request.as_bytes()).await;
    assert_eq!(running.ask("GET /things").await.status, 200, "others are served");
}

/// What the test below runs in a process of its own, which may open few files.
#[tokio::test(start_paused = true)]
#[ignore = "it uses up the open files of its process; `a_gateway_outlives_a_want_of_open_files` runs it"]
async fn in_a_process_without_open_files() {
    let running = Running::of(Things::default(), Limits::default()).await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut used = Vec::new();
    while let Ok(connected) = TcpStream::connect(elsewhere.local_addr().unwrap()).await {
        used.push(connected);
    }
    assert!(used.len() < 1_000, "this process may open few files");
    // Its own end takes the last file, so the gateway has none for the other.
    drop(used.pop());
    let mut waiting = running.connect().await;
    // The clock is paused: an hour passes as soon as there is nothing to do but wait.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    drop(used);
    assert_eq!(waiting.ask("GET /things", &[], b"").await.status, 200);
}

#[test]
fn a_gateway_outlives_a_want_of_open_files() {
    let this = std::env::current_exe().unwrap();
    let run = "ulimit -n 64 && exec \"$0\" --ignored --exact connections::in_a_process_without_open_files";
    let output = std::process::Command::new("sh").arg("-c").arg(run).arg(this).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
