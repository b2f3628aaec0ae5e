//! The first bytes of a connection: refuse early, in words.

use std::io;

use bytes::Bytes;
use divisi_contract::codec;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use crate::frame::{Decoder, Frame, FrameError};
use crate::message::{Kind, MessageError};
use crate::outgoing::Outgoing;

/// The first eight bytes in both directions. Nothing else on a network begins with them.
pub const PREFACE: &[u8; 8] = b"divisi1\n";
/// The oldest version of the protocol that is spoken here.
pub const VERSION_MIN: u16 = 1;
/// The newest version of the protocol that is spoken here.
pub const VERSION_MAX: u16 = 1;
/// How much of what a stranger sent is repeated in the log.
const SHOWN_MAX: usize = 40;
/// How much of the other side's name is kept, in letters.
const NAME_MAX: usize = 80;
/// How much of the other side's reason is kept, in letters.
const REASON_MAX: usize = 400;

/// The client's greeting. Fields may be added: who does not know them passes over them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version of the protocol that the client speaks.
    pub version_min: u16,
    /// The newest.
    pub version_max: u16,
    /// The name of the client's process, for logs.
    #[serde(default)]
    pub name: String,
    /// The largest frame that the client takes.
    pub frame_max: u32,
}

/// The server's greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// The largest frame that the server takes.
    pub frame_max: u32,
    /// How many calls may be in flight on this connection.
    pub calls_max: u32,
    /// What is served. A request names a contract by its place in this list.
    pub contracts: Vec<Offer>,
}

/// A contract that one service of a server serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The service.
    pub service: String,
    /// The contract's name.
    pub contract: String,
    /// The contract's major version.
    pub version: u32,
    /// Its methods. A request names a method by its place in this list.
    pub methods: Vec<String>,
}

/// Why there will be no connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// The reason, for people.
    pub message: String,
}

/// Why a handshake did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HandshakeError {
    /// The other side closed the connection before it said anything.
    #[error("the other side closed the connection without a word")]
    Silent,
    /// The other side closed the connection in the middle of its greeting.
    #[error("the other side closed the connection in the middle of its greeting")]
    Cut,
    /// The other side speaks another protocol.
    #[error("the other side does not speak this protocol: it sent `{came}`")]
    NotDivisi {
        /// The beginning of what it sent, with unprintable bytes escaped.
        came: String,
    },
    /// The first frame is not a greeting.
    #[error("the first frame has the kind {kind:#04x}, which is not a greeting")]
    NotAGreeting {
        /// Its kind.
        kind: u8,
    },
    /// The other side said no.
    #[error("the other side refused: {message}")]
    Refused {
        /// Its reason.
        message: String,
    },
    /// The bytes are not frames.
    #[error("the greeting is not a frame")]
    Frame(#[from] FrameError),
    /// The greeting cannot be read.
    #[error("the greeting cannot be understood")]
    Message(#[from] MessageError),
    /// There is no version of the protocol that both sides speak.
    #[error("no common version: {message}")]
    Version {
        /// What was said to the other side.
        message: String,
    },
    /// The greeting took too long.
    #[error("the other side did not greet in time")]
    TimeOut,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

impl Hello {
    /// The same with a name that can stand in a log: a peer writes no lines of its own into it, and no long ones.
    pub(crate) fn shown(mut self) -> Hello {
        self.name = shown(&self.name, NAME_MAX);
        self
    }
}

impl Refuse {
    /// The reason as it can stand in a log.
    pub(crate) fn shown(&self) -> String {
        shown(&self.message, REASON_MAX)
    }
}

/// At most `max` letters of a text, with those escaped that a terminal would obey.
fn shown(text: &str, max: usize) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(max) {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The version that both ranges contain, the newest of them.
pub fn agree(hello: &Hello) -> Result<u16, Refuse> {
    let newest = hello.version_max.min(VERSION_MAX);
    if newest >= hello.version_min.max(VERSION_MIN) {
        return Ok(newest);
    }
    Err(Refuse {
        message: format!(
            "the client speaks versions {} to {} of the protocol, this server {VERSION_MIN} to {VERSION_MAX}; \
             deploy the older side anew",
            hello.version_min, hello.version_max
        ),
    })
}

/// Adds preface and greeting to `out`.
pub(crate) fn put<T: Serialize>(out: &mut Outgoing, kind: Kind, greeting: &T) -> Result<(), HandshakeError> {
    let body = codec::encode(greeting).map_err(|source| MessageError::Encoding { kind, source })?;
    out.put_raw(PREFACE);
    out.put(kind, 0, |_| {}, &body);
    Ok(())
}

/// Reads a greeting.
pub(crate) fn parse<T: for<'a> Deserialize<'a>>(kind: Kind, body: &Bytes) -> Result<T, HandshakeError> {
    Ok(codec::decode(body).map_err(|source| MessageError::Encoding { kind, source })?)
}

/// Waits for the other side's preface and first frame.
pub(crate) async fn read(read: &mut OwnedReadHalf, decoder: &mut Decoder) -> Result<Frame, HandshakeError> {
    let mut greeted = false;
    loop {
        if !greeted {
            greeted = opening(decoder)?;
        }
        if greeted && let Some(frame) = decoder.next_frame()? {
            return Ok(frame);
        }
        if read.read_buf(decoder.space()).await? == 0 {
            let silent = !greeted && decoder.buffered().is_empty();
            return Err(if silent { HandshakeError::Silent } else { HandshakeError::Cut });
        }
    }
}

/// Takes the preface off what has come; `false` when more must come first.
fn opening(decoder: &mut Decoder) -> Result<bool, HandshakeError> {
    let came = decoder.buffered();
    let n = came.len().min(PREFACE.len());
    if came[..n] != PREFACE[..n] {
        let line = came.split(|byte| *byte == b'\n' || *byte == b'\r').next().unwrap_or_default();
        let came = line[..line.len().min(SHOWN_MAX)].escape_ascii().to_string();
        return Err(HandshakeError::NotDivisi { came });
    }
    if n == PREFACE.len() {
        decoder.skip(n);
        return Ok(true);
    }
    Ok(false)
}
