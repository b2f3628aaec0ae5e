//! Length, kind, id, body: the only shape of bytes on a connection.
//!
//! No socket here: a [`Decoder`] is fed with bytes and gives frames back. Whatever the bytes are, the worst that
//! comes of them is a [`FrameError`].

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before the body: length (4), kind (1), id (8).
pub const HEADER: usize = 13;
/// Bytes of the header that the length counts: kind and id.
pub const COUNTED: usize = 9;
/// Room made for one read: large enough that hundreds of small frames come in one system call.
const READ_CHUNK: usize = 64 * 1024;
/// Room that an idle connection keeps after a large frame.
const KEEP_MAX: usize = 1024 * 1024;
/// Room below which more is made, so that a read is never for a handful of bytes.
const READ_MIN: usize = 4 * 1024;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is; see [`crate::message::Kind`].
    pub kind: u8,
    /// Which call it belongs to; zero when to none.
    pub id: u64,
    /// The rest: a slice of what was read, not a copy.
    pub body: Bytes,
}

/// Why bytes are not frames. The connection cannot go on: where the next frame begins is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length says more than the limit allows.
    #[error("a frame says it has {length} bytes, the limit is {max}")]
    TooLarge {
        /// What the frame says.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The length does not even cover kind and id.
    #[error("a frame says it has {length} bytes, the least is {COUNTED}")]
    TooShort {
        /// What the frame says.
        length: usize,
    },
}

/// Bytes in, frames out.
///
/// Memory grows with the bytes that have come, never with what a length promises.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    max: usize,
}

impl Decoder {
    /// A decoder of frames whose length is at most `max`.
    pub fn new(max: usize) -> Decoder {
        Decoder { buffer: BytesMut::new(), max }
    }

    /// Another limit from here on.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Where to read to: a buffer with room.
    pub fn space(&mut self) -> &mut BytesMut {
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP_MAX {
            self.buffer = BytesMut::new();
        }
        if self.buffer.capacity() - self.buffer.len() < READ_MIN {
            self.buffer.reserve(READ_CHUNK);
        }
        &mut self.buffer
    }

    /// Adds bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What has come and is not a whole frame yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Passes over `n` bytes that are not part of a frame; fewer if fewer have come.
    pub fn skip(&mut self, n: usize) {
        self.buffer.advance(n.min(self.buffer.len()));
    }

    /// The next whole frame, if it has come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length < COUNTED {
            return Err(FrameError::TooShort { length });
        }
        if length > self.max {
            return Err(FrameError::TooLarge { length, max: self.max });
        }
        if self.buffer.len() - 4 < length {
            return Ok(None);
        }
        let mut body = self.buffer.split_to(4 + length).freeze();
        body.advance(4);
        let (kind, id) = (body.get_u8(), body.get_u64());
        Ok(Some(Frame { kind, id, body }))
    }
}

#[cfg(test)]
mod tests;
