//! A peer that says what a test wants, byte by byte.

use bytes::Bytes;
use divisi_contract::{CallError, codec};
use divisi_tcp::frame::{Decoder, Frame};
use divisi_tcp::handshake::{Hello, Offer, PREFACE, Welcome};
use divisi_tcp::message::{Kind, parse_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{contract, in_time};

const FRAME_MAX: usize = 64 * 1024 * 1024;

/// One end of a connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    decoder: Decoder,
}

impl Raw {
    pub(crate) fn over(stream: TcpStream) -> Raw {
        Raw { stream, decoder: Decoder::new(FRAME_MAX) }
    }

    pub(crate) async fn connect(addr: &str) -> Raw {
        Raw::over(TcpStream::connect(addr).await.expect("the server listens"))
    }

    /// Connects and greets as a client.
    pub(crate) async fn client(addr: &str) -> Raw {
        let mut raw = Raw::connect(addr).await;
        raw.greet(&hello(1, 1)).await;
        let frame = raw.first().await;
        assert_eq!(frame.kind, Kind::Welcome as u8);
        raw
    }

    /// Accepts and greets as a server of the probe and of a contract `bulk` with the method `echo`.
    pub(crate) async fn server(listener: &TcpListener) -> Raw {
        let (stream, _) = in_time("a client connects", listener.accept()).await.expect("it can be accepted");
        let mut raw = Raw::over(stream);
        assert_eq!(raw.first().await.kind, Kind::Hello as u8);
        raw.greet_as(Kind::Welcome, &welcome()).await;
        raw
    }

    pub(crate) async fn greet(&mut self, hello: &impl serde::Serialize) {
        self.greet_as(Kind::Hello, hello).await;
    }

    pub(crate) async fn greet_as(&mut self, kind: Kind, greeting: &impl serde::Serialize) {
        self.write(PREFACE).await;
        self.send(kind as u8, 0, &codec::encode(greeting).expect("a greeting can be encoded")).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the peer reads");
    }

    pub(crate) async fn send(&mut self, kind: u8, id: u64, body: &[u8]) {
        self.write(&frame(kind, id, body)).await;
    }

    /// The first frame, behind the preface.
    pub(crate) async fn first(&mut self) -> Frame {
        let mut preface = [0; 8];
        in_time("the preface comes", self.stream.read_exact(&mut preface)).await.expect("the peer greets");
        assert_eq!(&preface, PREFACE);
        self.next().await.expect("a frame follows the preface")
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().expect("the peer sends frames") {
                return Some(frame);
            }
            let read = in_time("the peer sends or closes", self.stream.read_buf(self.decoder.space())).await;
            if !read.is_ok_and(|n| n > 0) {
                return None;
            }
        }
    }

    /// The next frame, which is an answer.
    pub(crate) async fn answer(&mut self) -> (u64, Result<Bytes, CallError<Bytes>>) {
        let frame = self.next().await.expect("an answer comes");
        assert_eq!(frame.kind, Kind::Answer as u8, "{frame:?}");
        (frame.id, parse_answer(frame.body).expect("the answer can be read"))
    }
}

pub(crate) fn frame(kind: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(9 + body.len()).expect("tests send small frames");
    [&length.to_be_bytes()[..], &[kind], &id.to_be_bytes(), body].concat()
}

/// The body of a request to a method of the probe, with what is left in microseconds.
pub(crate) fn request(method: &str, left: u64, arguments: &[u8]) -> Vec<u8> {
    let at = contract().methods.iter().position(|known| known.name == method).expect("the probe has it");
    let method = u16::try_from(at).expect("the probe has few methods").to_be_bytes();
    let trace = [1; 25];
    [&[0, 0], &method[..], &left.to_be_bytes(), &trace, &[1, b'x'], &[0, 0], &[0, 0], arguments].concat()
}

pub(crate) fn hello(version_min: u16, version_max: u16) -> Hello {
    Hello { version_min, version_max, name: "raw".to_owned(), frame_max: 16 * 1024 * 1024 }
}

pub(crate) fn welcome() -> Welcome {
    let probe = contract();
    let offer = |contract: &str, methods| Offer {
        service: "posts".to_owned(),
        contract: contract.to_owned(),
        version: 1,
        methods,
    };
    let methods = probe.methods.iter().map(|method| method.name.clone()).collect();
    Welcome {
        version: 1,
        frame_max: 16 * 1024 * 1024,
        calls_max: 1_000,
        contracts: vec![offer("probe", methods), offer("bulk", vec!["echo".to_owned()])],
    }
}
