//! What frames say: the vocabulary of `docs/wire.md`.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use divisi_contract::{CallError, Cause, CauseKind, Trace, codec};

use crate::outgoing::Outgoing;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client to server, first: who I am and which protocol versions I speak.
    Hello = 0x01,
    /// Server to client, first: the version we speak and what is served here.
    Welcome = 0x02,
    /// Server to client, first and last: why not, in words.
    Refuse = 0x03,
    /// A call.
    Request = 0x10,
    /// What came of a call.
    Answer = 0x11,
    /// Nobody waits for this call any more.
    Cancel = 0x12,
    /// No new calls here: this side is shutting down.
    Drain = 0x20,
    /// Are you there?
    Ping = 0x21,
    /// I am, with the id of the ping.
    Pong = 0x22,
}

/// Kinds kept for streams of bytes with credit: data, credit, end, reset. No frame of these is sent yet.
pub const RESERVED_FOR_STREAMS: std::ops::RangeInclusive<u8> = 0x30..=0x33;

/// A frame whose body is not what its kind promises.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The body ends too early.
    #[error("a frame of the kind {kind:?} ends in the middle of its {part}")]
    Short {
        /// The kind of frame.
        kind: Kind,
        /// The part that is cut off.
        part: &'static str,
    },
    /// A name is not UTF-8.
    #[error("the {part} in a frame of the kind {kind:?} is not UTF-8")]
    NotText {
        /// The kind of frame.
        kind: Kind,
        /// The part that is not text.
        part: &'static str,
    },
    /// The outcome of an answer is none of those that exist.
    #[error("an answer has the unknown outcome {outcome:#04x}")]
    Outcome {
        /// What the frame says.
        outcome: u8,
    },
    /// A part of the body is encoded wrongly.
    #[error("a frame of the kind {kind:?} cannot be read")]
    Encoding {
        /// The kind of frame.
        kind: Kind,
        /// What the decoder said.
        source: codec::CodecError,
    },
}

/// The part of a request before its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The contract's place in the list of the Welcome.
    pub contract: u16,
    /// The method's place in that contract.
    pub method: u16,
    /// How long the answer is of use, from when it was sent; `None` is for ever.
    pub left: Option<Duration>,
    /// The place in the trace.
    pub trace: Trace,
    /// Who calls.
    pub caller: &'a str,
    /// The idempotency key.
    pub key: Option<&'a str>,
}

/// How an answer came out, the byte before its rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Outcome {
    Ok = 0,
    Refused = 1,
    NotRun = 2,
    MayHaveRun = 3,
}

/// The longest name of a caller, in bytes.
pub const CALLER_MAX: usize = u8::MAX as usize;
/// The longest idempotency key, in bytes; its length is sent plus one, because zero says that there is none.
pub const KEY_MAX: usize = u16::MAX as usize - 1;
/// The longest message of a cause that is sent; the rest is cut off.
const CAUSE_MESSAGE_MAX: usize = 4 * 1024;
/// A deadline that never comes.
const NEVER: u64 = u64::MAX;

impl Kind {
    /// The kind with this number; `None` for one that a newer peer knows.
    pub fn of(number: u8) -> Option<Kind> {
        Some(match number {
            0x01 => Kind::Hello,
            0x02 => Kind::Welcome,
            0x03 => Kind::Refuse,
            0x10 => Kind::Request,
            0x11 => Kind::Answer,
            0x12 => Kind::Cancel,
            0x20 => Kind::Drain,
            0x21 => Kind::Ping,
            0x22 => Kind::Pong,
            _ => return None,
        })
    }
}

impl RequestHead<'_> {
    /// How many bytes it has on the wire.
    pub fn len(&self) -> usize {
        2 + 2 + 8 + 25 + 1 + self.caller.len() + 2 + self.key.map_or(0, str::len) + 2
    }

    /// Whether it has no bytes; it always has some.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Reads it from the body of a request; the arguments begin at the offset that comes with it.
    pub fn parse(body: &[u8]) -> Result<(RequestHead<'_>, usize), MessageError> {
        let mut rest = Rest { bytes: body, kind: Kind::Request };
        let (contract, method) = (rest.u16("contract")?, rest.u16("method")?);
        let left = match rest.u64("deadline")? {
            NEVER => None,
            micros => Some(Duration::from_micros(micros)),
        };
        let trace_id = u128::from_be_bytes(*rest.chunk("trace")?);
        let span_id = rest.u64("trace")?;
        let sampled = rest.u8("trace")? & 1 == 1;
        let n_caller = usize::from(rest.u8("caller")?);
        let caller = rest.text(n_caller, "caller")?;
        let key = match rest.u16("key")? {
            0 => None,
            n => Some(rest.text(usize::from(n) - 1, "key")?),
        };
        let n_extension = usize::from(rest.u16("extension")?);
        rest.take(n_extension, "extension")?;
        let trace = Trace { trace_id, span_id, sampled };
        Ok((RequestHead { contract, method, left, trace, caller, key }, body.len() - rest.bytes.len()))
    }

    /// Adds the request to `out`; says how many bytes the frame has.
    pub(crate) fn put(&self, out: &mut Outgoing, id: u64, arguments: &Bytes) -> usize {
        out.put(Kind::Request, id, |body| self.put_body(body), arguments)
    }

    fn put_body(&self, body: &mut BytesMut) {
        body.put_u16(self.contract);
        body.put_u16(self.method);
        body.put_u64(match self.left {
            None => NEVER,
            Some(left) => u64::try_from(left.as_micros()).unwrap_or(NEVER),
        });
        body.put_u128(self.trace.trace_id);
        body.put_u64(self.trace.span_id);
        body.put_u8(u8::from(self.trace.sampled));
        // Both lengths were checked against their limits before the call was given an id.
        body.put_u8(u8::try_from(self.caller.len()).unwrap_or(u8::MAX));
        body.put_slice(self.caller.as_bytes());
        match self.key {
            None => body.put_u16(0),
            Some(key) => {
                body.put_u16(u16::try_from(key.len() + 1).unwrap_or(u16::MAX));
                body.put_slice(key.as_bytes());
            }
        }
        body.put_u16(0);
    }
}

/// Adds an answer to `out`. One that is larger than `max` is replaced by an error that says so.
pub(crate) fn put_answer(out: &mut Outgoing, id: u64, answer: Result<Bytes, CallError<Bytes>>, max: usize) {
    let too_large = |n: usize| {
        let message = format!("the answer has {n} bytes, the limit of a frame is {max}");
        Cause::new(CauseKind::AnswerTooLarge, message)
    };
    let fits = |bytes: &Bytes| crate::frame::COUNTED + 1 + bytes.len() <= max;
    match answer {
        Ok(bytes) if fits(&bytes) => put_outcome(out, id, Outcome::Ok, &bytes),
        Ok(bytes) => put_cause(out, id, Outcome::MayHaveRun, too_large(bytes.len())),
        Err(CallError::Refused(bytes)) if fits(&bytes) => put_outcome(out, id, Outcome::Refused, &bytes),
        // What refuses has changed nothing.
        Err(CallError::Refused(bytes)) => put_cause(out, id, Outcome::NotRun, too_large(bytes.len())),
        Err(CallError::NotRun(cause)) => put_cause(out, id, Outcome::NotRun, cause),
        Err(CallError::MayHaveRun(cause)) => put_cause(out, id, Outcome::MayHaveRun, cause),
    }
}

fn put_outcome(out: &mut Outgoing, id: u64, outcome: Outcome, rest: &Bytes) {
    out.put(Kind::Answer, id, |body| body.put_u8(outcome as u8), rest);
}

fn put_cause(out: &mut Outgoing, id: u64, outcome: Outcome, mut cause: Cause) {
    if cause.message.len() > CAUSE_MESSAGE_MAX {
        cause.message.truncate(cause.message.floor_char_boundary(CAUSE_MESSAGE_MAX));
    }
    // A kind and a text can always be encoded; without its words an error still says whether it ran.
    put_outcome(out, id, outcome, &codec::encode(&cause).unwrap_or_default());
}

/// Adds a frame without a body.
pub(crate) fn put_bare(out: &mut Outgoing, kind: Kind, id: u64) -> usize {
    out.put(kind, id, |_| {}, &Bytes::new())
}

/// Reads the body of an answer.
pub fn parse_answer(mut body: Bytes) -> Result<Result<Bytes, CallError<Bytes>>, MessageError> {
    let Some(&outcome) = body.first() else {
        return Err(MessageError::Short { kind: Kind::Answer, part: "outcome" });
    };
    let rest = body.split_off(1);
    let cause = |rest: &[u8]| {
        codec::decode::<Cause>(rest).map_err(|source| MessageError::Encoding { kind: Kind::Answer, source })
    };
    Ok(match outcome {
        0 => Ok(rest),
        1 => Err(CallError::Refused(rest)),
        2 => Err(CallError::NotRun(cause(&rest)?)),
        3 => Err(CallError::MayHaveRun(cause(&rest)?)),
        outcome => return Err(MessageError::Outcome { outcome }),
    })
}

/// What is left of a body that is being read.
struct Rest<'a> {
    bytes: &'a [u8],
    kind: Kind,
}

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize, part: &'static str) -> Result<&'a [u8], MessageError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(n) else {
            return Err(MessageError::Short { kind: self.kind, part });
        };
        self.bytes = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self, part: &'static str) -> Result<&'a [u8; N], MessageError> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(MessageError::Short { kind: self.kind, part });
        };
        self.bytes = rest;
        Ok(taken)
    }

    fn u8(&mut self, part: &'static str) -> Result<u8, MessageError> {
        Ok(u8::from_be_bytes(*self.chunk(part)?))
    }

    fn u16(&mut self, part: &'static str) -> Result<u16, MessageError> {
        Ok(u16::from_be_bytes(*self.chunk(part)?))
    }

    fn u64(&mut self, part: &'static str) -> Result<u64, MessageError> {
        Ok(u64::from_be_bytes(*self.chunk(part)?))
    }

    fn text(&mut self, n: usize, part: &'static str) -> Result<&'a str, MessageError> {
        let kind = self.kind;
        std::str::from_utf8(self.take(n, part)?).map_err(|_| MessageError::NotText { kind, part })
    }
}

#[cfg(test)]
mod tests;
