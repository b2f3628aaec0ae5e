//! `docs/wire.md` shows what is sent.

use std::collections::HashMap;

use bytes::Bytes;
use divisi_contract::{Cause, CauseKind, Context, Trace};
use divisi_tcp::Limits;
use divisi_tcp::handshake::{Hello, Welcome};
use divisi_tcp::message::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

const WIRE: &str = include_str!("../../../../docs/wire.md");

/// The examples of the document: every block that begins with "```hex NAME", without what follows a `;`.
fn examples() -> HashMap<&'static str, Vec<u8>> {
    let block = |text: &'static str| {
        let (name, rest) = text.split_once('\n').expect("a block has a first line");
        let (block, _) = rest.split_once("```").expect("a block has an end");
        let digits: String = block
            .lines()
            .filter_map(|line| line.split(';').next())
            .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
            .collect();
        let bytes = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hex is ASCII");
            u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("`{pair}` in `{name}` is not hex"))
        });
        (name.trim(), bytes.collect())
    };
    WIRE.split("```hex ").skip(1).map(block).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn assert_same(what: &str, sent: &[u8], written: &[u8]) {
    assert_eq!(hex(sent), hex(written), "docs/wire.md, `{what}`: left is what is sent");
}

#[tokio::test]
async fn the_document_shows_the_bytes_of_a_call() {
    let examples = examples();
    let server = Running::start(Limits::default()).await;
    let between = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = client(&between.local_addr().expect("it is bound").to_string(), Limits::default());
    let trace = Trace {
        trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        span_id: 0xb7ad_6b71_6920_3331,
        sampled: true,
    };
    let cx = Context::root("gateway").with_trace(trace).with_key("k1");
    // A wire that is listened to: what one side says in one write is passed on when it is complete.
    let listened = async {
        let (mut client, _) = between.accept().await.expect("the client connects");
        let mut server = TcpStream::connect(&server.addr).await.expect("the server listens");
        let hello = passed(&mut client, &mut server, 8).await;
        let welcome = passed(&mut server, &mut client, 8).await;
        let request = passed(&mut client, &mut server, 0).await;
        let answer = passed(&mut server, &mut client, 0).await;
        (hello, welcome, request, answer, client, server)
    };
    let arguments = b"\x81\xa4text\xa2hi";
    let (outcome, (hello, welcome, request, answer, ..)) =
        in_time("the call is made", async { tokio::join!(ask(&client, &ECHO, &cx, arguments), listened) })
            .await;
    assert_eq!(outcome, Ok(Bytes::from_static(arguments)));
    assert_same("hello", &hello, &examples["hello"]);
    assert_same("request", &request, &examples["request"]);
    assert_same("answer", &answer, &examples["answer"]);
    // What else is offered is the test's own; its form is the document's.
    assert_eq!(welcome[..8], examples["welcome"][..8]);
    assert_eq!(welcome[12], Kind::Welcome as u8);
}

#[test]
fn the_documents_greetings_can_be_read() {
    let examples = examples();
    let hello: Hello = divisi_contract::codec::decode(&examples["hello"][21..]).expect("the Hello is one");
    assert_eq!((hello.version_min, hello.version_max), (1, 1));
    let welcome: Welcome =
        divisi_contract::codec::decode(&examples["welcome"][21..]).expect("the Welcome is one");
    assert_eq!(welcome.contracts[0].methods, ["echo"]);
    assert_same(
        "welcome",
        &divisi_contract::codec::encode(&welcome).expect("it can be"),
        &examples["welcome"][21..],
    );
    let length = u32::try_from(examples["welcome"].len() - 12).expect("it is short");
    assert_eq!(examples["welcome"][8..12], length.to_be_bytes());
}

#[test]
fn the_documents_error_can_be_read() {
    let examples = examples();
    let not_run = Bytes::from(examples["not-run"][13..].to_vec());
    let answer = divisi_tcp::message::parse_answer(not_run).expect("it is an answer");
    assert_not_run(&answer, CauseKind::Overloaded, "busy");
    let cause =
        divisi_contract::codec::encode(&Cause::new(CauseKind::Overloaded, "busy")).expect("it can be");
    assert_same("not-run", &cause, &examples["not-run"][14..]);
}

#[test]
fn the_document_names_every_kind() {
    for number in 0..=u8::MAX {
        let Some(kind) = Kind::of(number) else { continue };
        let row = format!("| `{number:02x}` | {kind:?} |");
        assert!(WIRE.contains(&row), "docs/wire.md has no row `{row}`");
    }
}

/// Passes one frame on, behind `before` bytes, and says what it was.
async fn passed(from: &mut TcpStream, to: &mut TcpStream, before: usize) -> Vec<u8> {
    let mut bytes = vec![0; before + 4];
    from.read_exact(&mut bytes).await.expect("a length comes");
    let length = bytes.last_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length)) as usize;
    let mut rest = vec![0; length];
    from.read_exact(&mut rest).await.expect("the rest comes");
    bytes.extend_from_slice(&rest);
    to.write_all(&bytes).await.expect("it is taken");
    bytes
}
