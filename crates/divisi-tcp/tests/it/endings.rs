//! How connections end, and what callers may conclude.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use divisi_contract::{CallError, CauseKind};
use divisi_tcp::message::Kind;
use divisi_tcp::{Drained, Limits, Server};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::raw::{self, Raw, request};
use crate::support::*;

#[tokio::test]
async fn a_call_under_which_the_server_dies_may_have_run() {
    let server = Running::start(Limits::default()).await;
    let client = Arc::new(server.client());
    let call = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, &WAIT, &cx(), b"").await }
    });
    server.probe.until("the call runs", |probe| probe.began.load(Ordering::SeqCst) == 1).await;
    server.kill().await;
    let outcome = call.await.expect("no panic");
    assert_may_have_run(&outcome, CauseKind::Disconnected, "the connection ended before the answer came");
}

#[tokio::test]
async fn what_was_not_sent_in_full_when_the_connection_broke_did_not_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    let client = Arc::new(client(&addr, Limits { frame_max: 64 << 20, ..Limits::default() }));
    let call = |arguments: Vec<u8>| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { ask(&client, &ECHO, &cx(), &arguments).await })
    };
    let sent = call(b"small".to_vec());
    let mut raw = Raw::server(&listener).await;
    let frame = raw.next().await.expect("the small one comes");
    assert!(frame.body.ends_with(b"small"));
    // Larger than what two sockets hold between them, so its end never leaves.
    let large = [call(vec![1; 15 << 20]), call(vec![2; 15 << 20])];
    raw.stream.readable().await.expect("the first bytes of the large ones come");
    drop(raw);
    drop(listener);
    let outcome = sent.await.expect("no panic");
    assert_may_have_run(&outcome, CauseKind::Disconnected, "before the answer came");
    for call in large {
        let outcome = call.await.expect("no panic");
        match &outcome {
            // One that had not begun looked for another connection, and found none.
            Err(CallError::NotRun(cause)) if cause.kind == CauseKind::Unreachable => {}
            _ => assert_not_run(&outcome, CauseKind::Disconnected, "before the request was sent"),
        }
    }
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let addr = free_addr().await;
    let limits = Limits { unreachable_after: Duration::from_millis(200), ..Limits::default() };
    let outcome = ask(&client(&addr, limits), &ECHO, &cx(), b"").await;
    let text = format!("posts at {addr} is not reachable: connection refused");
    assert_not_run(&outcome, CauseKind::Unreachable, &text);
}

#[tokio::test]
async fn a_call_waits_for_a_connection_no_longer_than_its_deadline() {
    let addr = free_addr().await;
    let limits = Limits { unreachable_after: PATIENCE * 2, ..Limits::default() };
    let outcome = ask(&client(&addr, limits), &ECHO, &cx_for(Duration::from_millis(100)), b"").await;
    assert_not_run(&outcome, CauseKind::Unreachable, "connection refused");
}

#[tokio::test]
async fn a_call_waits_while_its_callee_restarts() {
    let server = Running::start(Limits::default()).await;
    let addr = server.addr.clone();
    let client = Arc::new(client(&addr, Limits { unreachable_after: PATIENCE, ..Limits::default() }));
    assert!(ask(&client, &ECHO, &cx(), b"").await.is_ok());
    server.kill().await;
    let call = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, &ECHO, &cx(), b"again").await }
    });
    let server = Running::start_at(&addr, Limits::default()).await;
    let outcome = call.await.expect("no panic");
    if outcome.is_err() {
        // It was on its way when the old connection broke; what comes after it is not.
        assert_may_have_run(&outcome, CauseKind::Disconnected, "");
    }
    assert_eq!(ask(&client, &ECHO, &cx(), b"more").await, Ok(Bytes::from_static(b"more")));
    assert!(server.probe.ran.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn a_drain_lets_calls_end_and_takes_no_new_ones() {
    let mut server = Running::start(Limits::default()).await;
    let limits = Limits { unreachable_after: Duration::from_millis(100), ..Limits::default() };
    let client = Arc::new(client(&server.addr, limits));
    let running = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, &WAIT, &cx(), b"old").await }
    });
    server.probe.until("the call runs", |probe| probe.began.load(Ordering::SeqCst) == 1).await;
    server.shut_down();
    until_refused(&server.addr).await;
    let outcome = ask(&client, &ECHO, &cx(), b"new").await;
    assert!(
        matches!(&outcome, Err(CallError::NotRun(cause))
            if matches!(cause.kind, CauseKind::Draining | CauseKind::Unreachable)),
        "{outcome:?}"
    );
    let probe = Arc::clone(&server.probe);
    assert_eq!(probe.ran.load(Ordering::SeqCst), 1, "the old call alone");
    probe.gate.add_permits(1);
    assert_eq!(running.await.expect("no panic"), Ok(Bytes::from_static(b"old")));
    assert_eq!(server.ended().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_call_that_crosses_the_drain_did_not_run() {
    let mut server = Running::start(Limits::default()).await;
    let mut raw = Raw::client(&server.addr).await;
    server.shut_down();
    let frame = raw.next().await.expect("the server says so");
    assert_eq!((frame.kind, frame.id), (Kind::Drain as u8, 0));
    raw.send(Kind::Request as u8, 3, &request("echo", u64::MAX, b"")).await;
    assert_not_run(&raw.answer().await.1, CauseKind::Draining, "the callee is shutting down");
    drop(raw);
    assert_eq!(server.ended().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let mut server =
        Running::start(Limits { drain_within: Duration::from_millis(50), ..Limits::default() }).await;
    let client = Arc::new(server.client());
    let call = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, &WAIT, &cx(), b"").await }
    });
    server.probe.until("the call runs", |probe| probe.began.load(Ordering::SeqCst) == 1).await;
    server.shut_down();
    assert_eq!(server.ended().await, Drained { cut: 1 });
    assert_may_have_run(&call.await.expect("no panic"), CauseKind::Disconnected, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_cut_runs_when_the_server_has_ended() {
    const CALLS: usize = 500;
    let limits = Limits { drain_within: Duration::from_millis(10), ..Limits::default() };
    let mut server = Running::start(limits).await;
    let mut raw = Raw::client(&server.addr).await;
    for id in 1..=CALLS as u64 {
        raw.send(Kind::Request as u8, id, &request("wait", u64::MAX, b"")).await;
    }
    server.probe.until("all run", |probe| probe.began.load(Ordering::SeqCst) == CALLS).await;
    server.shut_down();
    let probe = Arc::clone(&server.probe);
    assert_eq!(server.ended().await, Drained { cut: 1 });
    assert_eq!(probe.dropped.load(Ordering::SeqCst), CALLS);
    assert!(raw.next().await.is_none_or(|frame| frame.kind == Kind::Drain as u8));
}

#[tokio::test]
async fn a_drain_does_not_wait_for_who_has_not_greeted() {
    let limits = Limits { handshake_within: PATIENCE * 3, drain_within: PATIENCE * 3, ..Limits::default() };
    let mut server = Running::start(limits).await;
    let mut raw = Raw::connect(&server.addr).await;
    raw.write(b"divi").await;
    assert!(ask(&server.client(), &ECHO, &cx(), b"").await.is_ok(), "by now it was accepted");
    server.shut_down();
    assert_eq!(server.ended().await, Drained { cut: 0 });
}

#[tokio::test]
async fn idle_clients_leave_a_draining_server_at_once() {
    let mut server = Running::start(Limits::default()).await;
    let client = server.client();
    assert!(ask(&client, &ECHO, &cx(), b"").await.is_ok());
    server.shut_down();
    assert_eq!(server.ended().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_silent_server_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    let limits = Limits {
        ping_after: Duration::from_millis(40),
        pong_within: Duration::from_millis(40),
        ..Limits::default()
    };
    let client = client(&addr, limits);
    let cx = cx();
    let (outcome, _raw) = tokio::join!(ask(&client, &ECHO, &cx, b""), Raw::server(&listener));
    assert_may_have_run(&outcome, CauseKind::Disconnected, "the server was silent for 80 ms");
}

#[tokio::test]
async fn a_long_call_to_a_living_server_is_not_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    let limits = Limits { ping_after: Duration::from_millis(20), ..Limits::default() };
    let client = client(&addr, limits);
    let served = async {
        let mut raw = Raw::server(&listener).await;
        let asked = raw.next().await.expect("a request comes");
        for _ in 0..5 {
            let ping = raw.next().await.expect("a ping comes");
            assert_eq!(ping.kind, Kind::Ping as u8);
            raw.send(Kind::Pong as u8, ping.id, b"").await;
        }
        raw.send(Kind::Answer as u8, asked.id, b"\0at last").await;
        raw
    };
    let cx = cx();
    let (outcome, _raw) = tokio::join!(ask(&client, &ECHO, &cx, b""), served);
    assert_eq!(outcome, Ok(Bytes::from_static(b"at last")));
}

#[tokio::test]
async fn both_sides_answer_a_ping() {
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::client(&server.addr).await;
    raw.send(Kind::Ping as u8, 77, b"").await;
    let frame = raw.next().await.expect("a pong comes");
    assert_eq!((frame.kind, frame.id), (Kind::Pong as u8, 77));

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = client(&listener.local_addr().expect("it is bound").to_string(), Limits::default());
    let served = async {
        let mut raw = Raw::server(&listener).await;
        let asked = raw.next().await.expect("a request comes");
        raw.send(Kind::Ping as u8, 78, b"").await;
        let frame = raw.next().await.expect("a pong comes");
        assert_eq!((frame.kind, frame.id), (Kind::Pong as u8, 78));
        raw.send(Kind::Answer as u8, asked.id, b"\0").await;
        raw
    };
    let cx = cx();
    let (outcome, _raw) = tokio::join!(ask(&client, &ECHO, &cx, b""), served);
    assert_eq!(outcome, Ok(Bytes::new()));
}

#[tokio::test]
async fn a_client_that_goes_away_drops_its_calls() {
    let server = Running::start(Limits::default()).await;
    let client = Arc::new(server.client());
    let call = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, &WAIT, &cx(), b"").await }
    });
    server.probe.until("the call runs", |probe| probe.began.load(Ordering::SeqCst) == 1).await;
    call.abort();
    assert!(call.await.is_err(), "it was aborted");
    drop(client);
    server.probe.until("its handler is dropped", |probe| probe.dropped.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let server = Running::start(Limits::default()).await;
    let error = Server::bind(&server.addr, Vec::new(), Limits::default()).await.expect_err("it is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on {}", server.addr)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_concludes_is_true_while_the_server_comes_and_goes() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut server = Running::start(Limits::default()).await;
        let (addr, probe) = (server.addr.clone(), Arc::clone(&server.probe));
        let limits = Limits {
            unreachable_after: Duration::from_millis(200),
            reconnect_first: Duration::from_millis(2),
            reconnect_max: Duration::from_millis(10),
            ..Limits::default()
        };
        let client = Arc::new(client(&addr, limits));
        let (done, mut progress) = watch::channel(0_usize);
        let done = Arc::new(done);
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (client, done) = (Arc::clone(&client), Arc::clone(&done));
            callers.spawn(async move {
                let mut outcomes = Vec::new();
                for n in 0..300 {
                    let mut text = format!("{caller}.{n}.").into_bytes();
                    text.resize(10 + (n * 7_919) % 30_000, b'x');
                    outcomes.push((ask(&client, &ECHO, &cx(), &text).await, Bytes::from(text)));
                    done.send_modify(|done| *done += 1);
                }
                outcomes
            });
        }
        let mut at = 0;
        while at < 1_800 {
            at += random.usize(50..200);
            in_time("calls go on", progress.wait_for(|done| *done >= at)).await.expect("callers run");
            if random.bool() {
                server.kill().await;
            } else {
                server.shut_down();
                assert_eq!(server.ended().await, Drained { cut: 0 });
            }
            server = Running::start_with(&addr, Limits::default(), Arc::clone(&probe)).await;
        }
        let outcomes = in_time("all callers are done", callers.join_all()).await;
        let seen = probe.seen.lock().expect("nobody panicked").clone();
        let mut n_ok = 0;
        for (outcome, text) in outcomes.into_iter().flatten() {
            let ran = seen.get(&text).copied().unwrap_or(0);
            match outcome {
                Ok(answer) => {
                    n_ok += 1;
                    assert!(ran == 1 && answer == text, "answered and ran {ran} times, seed {seed}");
                }
                Err(CallError::NotRun(cause)) => assert_eq!(ran, 0, "{cause:?}, seed {seed}"),
                Err(CallError::MayHaveRun(cause)) => {
                    assert!(ran <= 1, "{cause:?} ran {ran} times, seed {seed}")
                }
                Err(CallError::Refused(_)) => panic!("an echo refuses nothing"),
            }
        }
        assert!(n_ok > 1_200, "most calls are answered, {n_ok} were, seed {seed}");
    }
}

#[tokio::test]
async fn an_id_that_is_used_again_after_a_cancel_gets_its_own_answer() {
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::client(&server.addr).await;
    for n in 0..50_u8 {
        let wait = raw::frame(Kind::Request as u8, 1, &request("wait", u64::MAX, b"old"));
        let cancel = raw::frame(Kind::Cancel as u8, 1, b"");
        let echo = raw::frame(Kind::Request as u8, 1, &request("echo", u64::MAX, &[n]));
        raw.write(&[wait, cancel, echo].concat()).await;
        assert_eq!(raw.answer().await, (1, Ok(Bytes::copy_from_slice(&[n]))));
    }
}

/// An address at which nobody listens.
async fn free_addr() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

/// Waits until nobody listens any more.
async fn until_refused(addr: &str) {
    in_time("the server stops listening", async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
