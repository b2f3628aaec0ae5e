//! What a call brings, there and back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use divisi_call::{Call, Caller, Request};
use divisi_contract::{CallError, CauseKind, Context, Repeat, ServiceName, Trace};
use divisi_tcp::message::Kind;
use divisi_tcp::{Client, ClientOptions, Limits};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::raw::{Raw, request};
use crate::support::*;

#[tokio::test]
async fn an_answer_and_a_refusal_come_back_as_they_were() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    assert_eq!(ask(&client, &ECHO, &cx(), b"hello").await, Ok(Bytes::from_static(b"hello")));
    assert_eq!(ask(&client, &ECHO, &cx(), b"").await, Ok(Bytes::new()));
    let refused = ask(&client, &REFUSE, &cx(), b"no").await;
    assert_eq!(refused, Err(CallError::Refused(Bytes::from_static(b"no"))));
}

#[tokio::test]
async fn trace_caller_key_and_deadline_arrive() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    let trace = Trace { trace_id: u128::MAX - 1, span_id: 7, sampled: false };
    let cx = Context::root("grüße").with_trace(trace).with_key("order-17");
    let seen = ask(&client, &CONTEXT, &cx, b"").await.expect("it answers");
    assert_eq!(seen, format!("{trace} grüße Some(\"order-17\") None"));

    let cx = Context::root("b").with_key("").with_deadline(cx_for(Duration::from_secs(60)).deadline());
    let seen = ask(&client, &CONTEXT, &cx, b"").await.expect("it answers");
    let seen = String::from_utf8(seen.to_vec()).expect("it is text");
    let start = format!("{} b Some(\"\") Some(", cx.trace());
    let left = seen.strip_prefix(&start).and_then(|rest| rest.strip_suffix(')'));
    let left: u64 = left.and_then(|left| left.parse().ok()).unwrap_or_else(|| panic!("seen: {seen}"));
    assert!((50_000..=60_000).contains(&left), "{left} ms are left of 60 s");
}

#[tokio::test]
async fn answers_overtake_each_other() {
    let server = Running::start(Limits::default()).await;
    let client = Arc::new(server.client());
    let slow = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, &WAIT, &cx(), b"slow").await }
    });
    server.probe.until("the slow call runs", |probe| probe.began.load(Ordering::SeqCst) == 1).await;
    assert_eq!(ask(&client, &ECHO, &cx(), b"fast").await, Ok(Bytes::from_static(b"fast")));
    assert!(!slow.is_finished(), "nobody let it go on");
    server.probe.gate.add_permits(1);
    assert_eq!(in_time("the slow call", slow).await.expect("no panic"), Ok(Bytes::from_static(b"slow")));
}

#[tokio::test]
async fn a_dropped_call_drops_the_handler() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    let cx = cx();
    tokio::select! {
        outcome = ask(&client, &WAIT, &cx, b"") => panic!("it waits for ever, and had {outcome:?}"),
        () = server.probe.until("the call runs", |probe| probe.began.load(Ordering::SeqCst) == 1) => {}
    }
    server.probe.until("its handler is dropped", |probe| probe.dropped.load(Ordering::SeqCst) == 1).await;
    assert_eq!(ask(&client, &ECHO, &cx, b"on").await, Ok(Bytes::from_static(b"on")), "the rest goes on");
}

#[tokio::test]
async fn a_deadline_ends_the_call_on_both_sides() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    let outcome = ask(&client, &WAIT, &cx_for(Duration::from_millis(100)), b"").await;
    assert_may_have_run(&outcome, CauseKind::DeadlinePassed, "the deadline passed");
    server.probe.until("its handler is dropped", |probe| probe.dropped.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_server_keeps_the_deadline_of_a_client_that_forgets_it() {
    let server = Running::start(Limits::default()).await;
    let mut raw = Raw::client(&server.addr).await;
    raw.send(Kind::Request as u8, 9, &request("wait", 50_000, b"")).await;
    let (id, outcome) = raw.answer().await;
    assert_eq!(id, 9);
    assert_may_have_run(&outcome, CauseKind::DeadlinePassed, "the deadline passed");
    assert_eq!(server.probe.dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_without_time_does_not_run() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    assert!(ask(&client, &ECHO, &cx(), b"").await.is_ok());
    let outcome = ask(&client, &ECHO, &cx_for(Duration::ZERO), b"").await;
    assert_not_run(&outcome, CauseKind::DeadlinePassed, "before the call was sent");

    let mut raw = Raw::client(&server.addr).await;
    raw.send(Kind::Request as u8, 9, &request("echo", 0, b"")).await;
    assert_not_run(&raw.answer().await.1, CauseKind::DeadlinePassed, "before the call arrived");
    assert_eq!(server.probe.ran.load(Ordering::SeqCst), 1, "the first call alone");
}

#[tokio::test]
async fn a_sooner_deadline_is_kept_beside_a_later_one() {
    let server = Running::start(Limits::default()).await;
    let client = Arc::new(server.client());
    let later = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, &WAIT, &cx_for(PATIENCE * 3), b"later").await }
    });
    server.probe.until("the later one runs", |probe| probe.began.load(Ordering::SeqCst) == 1).await;
    let sooner = ask(&client, &WAIT, &cx_for(Duration::from_millis(50)), b"sooner").await;
    assert_may_have_run(&sooner, CauseKind::DeadlinePassed, "");
    server.probe.gate.add_permits(1);
    assert_eq!(later.await.expect("no panic"), Ok(Bytes::from_static(b"later")));
}

#[tokio::test]
async fn a_panic_hurts_its_own_call_only() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    let at_once = ask(&client, &PANIC, &cx(), b"").await;
    assert_may_have_run(&at_once, CauseKind::Bug, "the callee panicked");
    let later = ask(&client, &PANIC_LATER, &cx(), b"").await;
    assert_may_have_run(&later, CauseKind::Bug, "the callee panicked: later");
    assert_eq!(ask(&client, &ECHO, &cx(), b"on").await, Ok(Bytes::from_static(b"on")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_reaches_another_call_however_many_are_dropped() {
    let server = Running::start(Limits::default()).await;
    let client = Arc::new(server.client());
    server.probe.gate.add_permits(usize::MAX >> 4);
    let mut callers = JoinSet::new();
    for caller in 0..16_u64 {
        let client = Arc::clone(&client);
        callers.spawn(async move {
            let mut random = fastrand::Rng::with_seed(caller);
            for n in 0..300_u64 {
                let text = format!("{caller} {n} {}", "x".repeat(random.usize(..20_000)));
                let call = if random.bool() { &ECHO } else { &WAIT };
                let cx = cx_for(PATIENCE);
                let asked = ask(&client, call, &cx, text.as_bytes());
                let dropped_after = random.u32(..8);
                let outcome = tokio::select! {
                    biased;
                    outcome = asked => Some(outcome),
                    () = yields(dropped_after), if n % 3 == 0 => None,
                };
                if let Some(outcome) = outcome {
                    assert!(outcome.as_ref().is_ok_and(|bytes| *bytes == text), "{outcome:?}");
                }
            }
        });
    }
    in_time("all callers are done", callers.join_all()).await;
}

async fn yields(n: u32) {
    for _ in 0..n {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bulk_has_a_connection_of_its_own() {
    const BULK: Call = Call { contract: "bulk", version: 1, method: "echo", repeat: Repeat::Idempotent };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound").to_string();
    let options = ClientOptions { bulk: |contract| contract == "bulk", ..ClientOptions::default() };
    let client = Client::new(addr, options);
    let service = ServiceName::from("posts");
    let cx = cx();
    let request = |call| Request { service: &service, call, cx: &cx, arguments: Bytes::from_static(b"a") };
    let served = async {
        let mut first = Raw::server(&listener).await;
        let asked = first.next().await.expect("the first call comes");
        let mut second = Raw::server(&listener).await;
        let asked_second = second.next().await.expect("the second call comes");
        second.send(Kind::Answer as u8, asked_second.id, b"\0bulk").await;
        first.send(Kind::Answer as u8, asked.id, b"\0call").await;
        (first, second)
    };
    let bulk = async {
        // Both begin, so that the call on the first connection is unanswered while the bulk is answered.
        tokio::task::yield_now().await;
        client.call(request(&BULK)).await
    };
    let all = async { tokio::join!(client.call(request(&ECHO)), bulk, served) };
    let (call, bulk, _) = in_time("both are answered", all).await;
    let answers = [call, bulk].map(|outcome| outcome.expect("it is answered"));
    let mut sorted = answers.to_vec();
    sorted.sort();
    assert_eq!(sorted, ["bulk", "call"]);
}

#[tokio::test]
async fn a_key_that_came_with_a_call_goes_no_further() {
    let server = Running::start(Limits::default()).await;
    let outcome = ask(&server.client(), &ONWARD, &cx().with_key("order-17"), b"").await;
    assert_eq!(outcome, Ok(Bytes::from_static(b"None")), "what the callee calls next is another call");
}
