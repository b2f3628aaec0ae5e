//! The lines of a process, read with a bound and passed on.

use std::io::{self, Write};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line that is passed on in one piece. 64 KiB: a JSON event with a backtrace fits.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The lines of one stream. Reading the next may be given up and begun again without loss.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(stream: R) -> Lines<R> {
        Lines { reader: BufReader::new(stream), line: Vec::new(), ended: false }
    }

    /// The next line without its end; `None` after the last. A stream that cannot be read has ended.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        while !self.ended {
            let bytes = self.reader.fill_buf().await.unwrap_or_default();
            self.ended = bytes.is_empty();
            let room = LINE_BYTES_MAX - self.line.len();
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let n_taken = end.unwrap_or(bytes.len()).min(room);
            self.line.extend_from_slice(&bytes[..n_taken]);
            let at_end = end == Some(n_taken);
            self.reader.consume(n_taken + usize::from(at_end));
            if at_end || self.line.len() == LINE_BYTES_MAX {
                return Some(std::mem::take(&mut self.line));
            }
        }
        (!self.line.is_empty()).then(|| std::mem::take(&mut self.line))
    }

    /// Whether the last line has been read.
    pub(super) fn ended(&self) -> bool {
        self.ended && self.line.is_empty()
    }
}

/// Writes one line of the process `name`, in one piece, so that lines of several do not mix. A reader that is gone
/// loses it: what a process says must not stop it.
pub(super) fn pass_on(mut to: impl Write, name: Option<&str>, line: &[u8]) {
    let mut text = Vec::with_capacity(line.len() + 16);
    let written: io::Result<()> = match name {
        Some(name) => write!(text, "{name} | "),
        None => Ok(()),
    };
    text.extend_from_slice(line);
    text.push(b'\n');
    let _ = written.and_then(|()| to.write_all(&text)).and_then(|()| to.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let (mut lines, mut all) = (Lines::new(text), Vec::new());
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        assert!(lines.ended());
        all
    }

    #[tokio::test]
    async fn lines_are_whole_even_the_last_without_its_end() {
        assert_eq!(lines(b"one\n\ntwo").await, [&b"one"[..], b"", b"two"]);
        assert!(lines(b"").await.is_empty());
    }

    #[tokio::test]
    async fn a_line_without_end_comes_in_bounded_pieces() {
        let pieces = lines(&vec![b'x'; LINE_BYTES_MAX * 2 + 3]).await;
        let lengths: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, 3]);
    }

    #[test]
    fn the_name_stands_before_the_line() {
        let mut text = Vec::new();
        pass_on(&mut text, Some("posts"), b"hello");
        pass_on(&mut text, None, b"{}");
        assert_eq!(text, b"posts | hello\n{}\n");
    }
}
