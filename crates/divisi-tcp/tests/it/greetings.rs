//! Who may talk to whom, said at the beginning and in words.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use divisi_call::Call;
use divisi_contract::{CauseKind, Repeat};
use divisi_tcp::Limits;
use divisi_tcp::message::Kind;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::raw::{Raw, frame, hello, request, welcome};
use crate::support::*;

const fn probe(version: u32, method: &'static str) -> Call {
    Call { contract: "probe", version, method, repeat: Repeat::Once }
}

#[tokio::test]
async fn another_major_version_is_refused_in_words() {
    const NEWER: Call = probe(2, "echo");
    let server = Running::start(Limits::default()).await;
    let outcome = ask(&server.client(), &NEWER, &cx(), b"").await;
    let text = "`posts` serves version 1 of the contract `probe`, this caller knows version 2";
    assert_not_run(&outcome, CauseKind::NoSuchMethod, text);
}

#[tokio::test]
async fn two_major_versions_are_served_side_by_side() {
    const NEWER: Call = probe(2, "echo");
    const NEWEST: Call = probe(3, "echo");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = client(&listener.local_addr().expect("it is bound").to_string(), Limits::default());
    let served = async {
        let (stream, _) = listener.accept().await.expect("the client connects");
        let mut raw = Raw::over(stream);
        raw.first().await;
        let mut both = welcome();
        let newer = both.contracts[0].clone();
        both.contracts.push(divisi_tcp::handshake::Offer { version: 2, ..newer });
        raw.greet_as(Kind::Welcome, &both).await;
        let mut asked = Vec::new();
        for _ in 0..2 {
            let request = raw.next().await.expect("a request comes");
            asked.push(request.body[1]);
            raw.send(Kind::Answer as u8, request.id, b"\0").await;
        }
        (asked, raw)
    };
    let cx = cx();
    let calls = async {
        assert_eq!(ask(&client, &ECHO, &cx, b"").await, Ok(Bytes::new()));
        assert_eq!(ask(&client, &NEWER, &cx, b"").await, Ok(Bytes::new()));
        let text = "serves versions 1 and 2 of the contract `probe`, this caller knows version 3";
        assert_not_run(&ask(&client, &NEWEST, &cx, b"").await, CauseKind::NoSuchMethod, text);
    };
    let ((asked, _raw), ()) = tokio::join!(served, calls);
    assert_eq!(asked, [0, 2], "each version by its own place in the list");
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_words() {
    const METHOD: Call = probe(1, "fly");
    const CONTRACT: Call = Call { contract: "birds", version: 1, method: "fly", repeat: Repeat::Once };
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    let outcome = ask(&client, &METHOD, &cx(), b"").await;
    assert_not_run(
        &outcome,
        CauseKind::NoSuchMethod,
        "`posts` serves the contract `probe` without a method `fly`",
    );
    let outcome = ask(&client, &CONTRACT, &cx(), b"").await;
    assert_not_run(&outcome, CauseKind::NoSuchMethod, "`posts` does not serve the contract `birds`");
    assert!(ask(&client, &ECHO, &cx(), b"").await.is_ok(), "the connection is as it was");
}

#[tokio::test]
async fn numbers_that_name_nothing_did_not_run() {
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::client(&server.addr).await;
    let mut body = request("echo", u64::MAX, b"");
    body[0] = 200;
    raw.send(Kind::Request as u8, 1, &body).await;
    assert_not_run(&raw.answer().await.1, CauseKind::NoSuchMethod, "no method 0 of a contract 51200");
}

#[tokio::test]
async fn protocol_versions_without_overlap_are_refused_in_words() {
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::connect(&server.addr).await;
    raw.greet(&hello(7, 9)).await;
    let frame = raw.first().await;
    assert_eq!(frame.kind, Kind::Refuse as u8);
    let text = String::from_utf8_lossy(&frame.body).into_owned();
    assert!(text.contains("the client speaks versions 7 to 9 of the protocol, this server 1 to 1"), "{text}");
    assert!(raw.next().await.is_none(), "and it is closed");
}

#[tokio::test]
async fn a_newer_greeting_with_more_fields_is_understood() {
    #[derive(Serialize)]
    struct Newer {
        version_min: u16,
        version_max: u16,
        compression: Vec<&'static str>,
        frame_max: u32,
        passport: Option<u8>,
    }
    let newer = Newer {
        version_min: 1,
        version_max: 9,
        compression: vec!["zstd"],
        frame_max: 1 << 20,
        passport: Some(1),
    };
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::connect(&server.addr).await;
    raw.greet(&newer).await;
    assert_eq!(raw.first().await.kind, Kind::Welcome as u8);
    raw.send(Kind::Request as u8, 1, &request("echo", u64::MAX, b"a")).await;
    assert_eq!(raw.answer().await, (1, Ok(Bytes::from_static(b"a"))));
}

#[tokio::test]
async fn a_kind_of_frame_from_the_future_is_answered_or_passed_over() {
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::client(&server.addr).await;
    raw.send(0x77, 0, b"for the connection").await;
    raw.send(0x77, 5, b"for a call").await;
    let (id, outcome) = raw.answer().await;
    assert_eq!(id, 5, "the one without a call is passed over");
    assert_not_run(&outcome, CauseKind::NoSuchMethod, "frames of the kind 0x77");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = client(&listener.local_addr().expect("it is bound").to_string(), Limits::default());
    let served = async {
        let mut raw = Raw::server(&listener).await;
        let asked = raw.next().await.expect("a request comes");
        raw.send(0x77, asked.id, b"for the call").await;
        raw.send(0x77, 0, b"for the connection").await;
        raw.send(Kind::Answer as u8, asked.id, b"\0after all").await;
        raw
    };
    let cx = cx();
    let (outcome, _raw) = tokio::join!(ask(&client, &ECHO, &cx, b""), served);
    assert_eq!(outcome, Ok(Bytes::from_static(b"after all")));
}

#[tokio::test]
async fn rubbish_ends_the_connection_with_one_warning() {
    let log = Log::default();
    let _logging = log.start();
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::connect(&server.addr).await;
    raw.write(b"GET /posts HTTP/1.1\r\nhost: posts\r\n\r\n").await;
    assert!(raw.next().await.is_none());
    let text = log.text();
    assert!(text.contains("it sent `GET /posts HTTP/1.1`"), "{text}");
    assert_eq!(text.matches("WARN").count(), 1, "{text}");

    // The beginning is right, and then it is not.
    for wrong in [&b"\0\0\0\x03\x01\0\0"[..], b"\xff\xff\xff\xff", &frame(Kind::Request as u8, 1, b"")] {
        let mut raw = Raw::connect(&server.addr).await;
        raw.write(b"divisi1\n").await;
        raw.write(wrong).await;
        assert!(raw.next().await.is_none());
    }
    assert!(ask(&server.client(), &ECHO, &cx(), b"").await.is_ok(), "others notice nothing");
    assert_eq!(log.text().matches("WARN").count(), 4, "{}", log.text());
}

#[tokio::test]
async fn a_peer_cannot_write_lines_into_the_log() {
    let log = Log::default();
    let _logging = log.start();
    let forged = format!("x`\n2026-01-01 ERROR \x1b[31mforged\n{}", "y".repeat(100_000));
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::connect(&server.addr).await;
    raw.greet(&divisi_tcp::handshake::Hello { name: forged.clone(), ..hello(1, 1) }).await;
    assert_eq!(raw.first().await.kind, Kind::Welcome as u8);
    raw.write(&[0xff; 13]).await;
    assert!(raw.next().await.is_none(), "it is cut, with a warning that names it");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let limits = Limits { unreachable_after: Duration::from_millis(300), ..Limits::default() };
    let client = client(&listener.local_addr().expect("it is bound").to_string(), limits);
    let refuses = async {
        let (stream, _) = listener.accept().await.expect("the client connects");
        let mut raw = Raw::over(stream);
        raw.first().await;
        let refuse = divisi_tcp::handshake::Refuse { message: forged };
        raw.greet_as(Kind::Refuse, &refuse).await;
        raw
    };
    let cx = cx();
    let (outcome, _raw) = tokio::join!(ask(&client, &ECHO, &cx, b""), refuses);
    assert_not_run(&outcome, CauseKind::Unreachable, "refused");

    let text = log.text();
    assert!(text.len() < 10_000, "{} bytes are too many", text.len());
    assert!(text.matches("forged").count() >= 2, "both were logged: {text}");
    assert!(text.lines().all(|line| !line.starts_with("2026-01-01")), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

#[tokio::test]
async fn a_broken_frame_cuts_its_connection_only() {
    let log = Log::default();
    let _logging = log.start();
    let server = Running::start(Limits::default()).await;
    let body = request("echo", u64::MAX, b"");
    let wait = request("wait", u64::MAX, b"");
    let wrong = [
        frame(Kind::Request as u8, 1, &body[..20]),
        frame(Kind::Request as u8, 1, b""),
        [frame(Kind::Request as u8, 1, &wait), frame(Kind::Request as u8, 1, &wait)].concat(),
        vec![0xff; 13],
    ];
    for wrong in &wrong {
        let mut raw = Raw::client(&server.addr).await;
        raw.write(wrong).await;
        assert!(raw.next().await.is_none());
    }
    assert_eq!(log.text().matches("WARN").count(), wrong.len(), "{}", log.text());
    assert!(ask(&server.client(), &ECHO, &cx(), b"").await.is_ok(), "others notice nothing");
}

#[tokio::test]
async fn random_bytes_on_the_port_hurt_nobody() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    let mut random = fastrand::Rng::with_seed(17);
    for round in 0..300 {
        let mut raw =
            if round % 2 == 0 { Raw::connect(&server.addr).await } else { Raw::client(&server.addr).await };
        let mut bytes = frame(random.choice([1, 16, 17, 18, 32, 33, 34, 48]).unwrap_or(0), 1, b"");
        bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(200));
        let n = u8::try_from(random.usize(9..200)).unwrap_or(9);
        bytes[..4].copy_from_slice(&u32::from(n).to_be_bytes());
        // The server may hang up before it has read all of it.
        let _ = raw.stream.write_all(&bytes).await;
        let _ = raw.stream.shutdown().await;
        while raw.stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
    }
    assert!(ask(&client, &ECHO, &cx(), b"").await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_something_else_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    let other = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let limits = Limits { unreachable_after: Duration::from_millis(300), ..Limits::default() };
    let outcome = ask(&client(&addr, limits), &ECHO, &cx(), b"").await;
    let text = format!("posts at {addr} is not reachable: the other side does not speak this protocol");
    assert_not_run(&outcome, CauseKind::Unreachable, &text);
    assert_not_run(&outcome, CauseKind::Unreachable, "`HTTP/1.1 400 Bad Request`");
    other.abort();
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_in_words() {
    let server = Running::start(Limits { connections_max: 0, ..Limits::default() }).await;
    let limits = Limits { unreachable_after: Duration::from_millis(300), ..Limits::default() };
    let outcome = ask(&client(&server.addr, limits), &ECHO, &cx(), b"").await;
    assert_not_run(&outcome, CauseKind::Unreachable, "refused: this server has 0 connections");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_may_have_run() {
    for wrong in [&b""[..], b"\x09", b"\x02\xff"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let client = client(&listener.local_addr().expect("it is bound").to_string(), Limits::default());
        let served = async {
            let mut raw = Raw::server(&listener).await;
            let asked = raw.next().await.expect("a request comes");
            raw.send(Kind::Answer as u8, asked.id, wrong).await;
            assert!(raw.next().await.is_none(), "the client hangs up");
        };
        let cx = cx();
        let (outcome, ()) = tokio::join!(ask(&client, &ECHO, &cx, b""), served);
        assert_may_have_run(&outcome, CauseKind::Malformed, "");
    }
}

#[test]
fn a_welcome_lists_what_is_served() {
    let bytes = divisi_contract::codec::encode(&welcome()).expect("it can be encoded");
    let back: divisi_tcp::handshake::Welcome = divisi_contract::codec::decode(&bytes).expect("and decoded");
    assert_eq!(back, welcome());
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        // With one subscriber alone, a line that another test's thread reaches first would be taken for one that nobody
        // wants, for ever. A second one makes tracing ask them both.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default()));
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("nobody panicked")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
