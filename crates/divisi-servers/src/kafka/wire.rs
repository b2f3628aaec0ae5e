//! As much of the protocol as it takes to see whether a broker serves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How much of an answer is read; more is never looked at.
const ANSWER_BYTES: u64 = 64 * 1024;

/// The request for metadata, in its second version; without a topic it asks for the brokers alone.
const METADATA: (i16, i16, &[u8]) = (3, 1, &[0, 0, 0, 0]);

/// Comes back with the answer.
const CORRELATION: i32 = 0x5eed;

/// Whether somebody listens at `address`.
pub(super) fn listens(address: SocketAddr) -> Result<(), String> {
    TcpStream::connect_timeout(&address, ANSWER_WITHIN).map(drop).map_err(|error| error.to_string())
}

/// Whether a broker at `address` knows itself as one that serves: while it starts it does not.
pub(super) fn serves(address: SocketAddr) -> Result<(), String> {
    let answer = ask(address).map_err(|error| error.to_string())?;
    match n_brokers(&answer) {
        Some(1..) => Ok(()),
        Some(_) => Err("it knows of no broker yet".to_owned()),
        None => Err(format!("it answered {answer:?}")),
    }
}

fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = Vec::new();
    let length = u64::from(u32::from_be_bytes(length)).min(ANSWER_BYTES);
    stream.take(length).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Length, kind, version, correlation, no name of a client, body.
fn request() -> Vec<u8> {
    let (kind, version, body) = METADATA;
    let mut rest = [&kind.to_be_bytes()[..], &version.to_be_bytes(), &CORRELATION.to_be_bytes()].concat();
    rest.extend((-1_i16).to_be_bytes());
    rest.extend(body);
    let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &rest].concat()
}

/// Correlation, and the length of the list of brokers.
fn n_brokers(answer: &[u8]) -> Option<i32> {
    let number = |at: usize| Some(i32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    (number(0)? == CORRELATION).then(|| number(4)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_itself() {
        let request = request();
        assert_eq!(request[..4], u32::try_from(request.len() - 4).unwrap().to_be_bytes());
        assert_eq!(request[4..8], [0, 3, 0, 1]);
    }

    #[test]
    fn brokers_are_counted_only_in_an_answer_to_the_question() {
        let answer = |correlation: i32, n: i32| [correlation.to_be_bytes(), n.to_be_bytes()].concat();
        assert_eq!(n_brokers(&answer(CORRELATION, 1)), Some(1));
        assert_eq!(n_brokers(&answer(CORRELATION, 0)), Some(0));
        assert_eq!(n_brokers(&answer(7, 1)), None);
        assert_eq!(n_brokers(&answer(CORRELATION, 1)[..7]), None);
    }
}
