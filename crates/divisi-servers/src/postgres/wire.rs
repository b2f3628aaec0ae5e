//! As much of the protocol as it takes to see whether a server lets clients in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The code of version 3.0 of the protocol.
const VERSION: u32 = 3 << 16;

/// Whether a server at `address` begins to authenticate `user`; else what it does instead.
///
/// One that still recovers, or is a standby that is not consistent yet, answers with an error.
pub(super) fn accepts(address: SocketAddr, user: &str) -> Result<(), String> {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(&startup(user))?;
        let mut answer = vec![0; 1_024];
        let n_read = stream.read(&mut answer)?;
        answer.truncate(n_read);
        Ok(answer)
    };
    match ask() {
        Ok(answer) => match answer.first() {
            Some(b'R') => Ok(()),
            Some(_) => Err(words(&answer)),
            None => Err("it closed the connection".to_owned()),
        },
        Err(error) => Err(error.to_string()),
    }
}

fn startup(user: &str) -> Vec<u8> {
    let parameters = format!("user\0{user}\0database\0postgres\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &VERSION.to_be_bytes(), parameters.as_bytes()].concat()
}

/// The message of an error response, `M` among its fields.
fn words(answer: &[u8]) -> String {
    let fields = answer.get(5..).unwrap_or_default().split(|&byte| byte == 0);
    let message = fields.filter_map(|field| field.strip_prefix(b"M")).next();
    match message {
        Some(message) => String::from_utf8_lossy(message).into_owned(),
        None => format!("it answered {:?}", String::from_utf8_lossy(answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_quoted() {
        let answer = b"E\0\0\0\x20SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
        assert_eq!(words(answer), "the database system is starting up");
        assert_eq!(words(b"HTTP"), "it answered \"HTTP\"");
    }

    #[test]
    fn a_startup_message_counts_itself() {
        let message = startup("me");
        assert_eq!(message[..4], u32::try_from(message.len()).unwrap().to_be_bytes());
        assert!(message.ends_with(b"database\0postgres\0\0"));
    }
}
