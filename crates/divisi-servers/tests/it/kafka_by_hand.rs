//! As much of a Kafka client as the tests need.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CREATE_TOPICS: i16 = 19;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// No list of names, which asks for all.
const ALL_TOPICS: [u8; 4] = [255; 4];

/// A connection.
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client(stream)
    }

    /// Makes a topic with one partition.
    pub(crate) fn make_topic(&mut self, name: &str) {
        let (one, none, timeout_ms) = (1_i32.to_be_bytes(), 0_i32.to_be_bytes(), 10_000_i32.to_be_bytes());
        let copies = 1_i16.to_be_bytes();
        let body = [&one[..], &text(name), &one, &copies, &none, &none, &timeout_ms, &[0]].concat();
        let answer = self.ask(CREATE_TOPICS, 2, &body);
        // Throttle time, length of the list, the name, the error.
        let error = &answer[4 + 4 + 2 + name.len()..][..2];
        assert_eq!(error, [0, 0], "{answer:?}");
    }

    /// Which of `names` it knows as topics.
    pub(crate) fn topics<'a>(&mut self, names: &[&'a str]) -> Vec<&'a str> {
        let answer = self.ask(METADATA, 1, &ALL_TOPICS);
        let known = |name: &&str| {
            let wanted = text(name);
            answer.windows(wanted.len()).any(|window| window == wanted)
        };
        names.iter().copied().filter(known).collect()
    }

    /// What comes when it asks for versions.
    pub(crate) fn send_a_question(&mut self) {
        self.send(API_VERSIONS, 0, &[]);
    }

    pub(crate) fn send_a_question_for_topics(&mut self) {
        self.send(METADATA, 1, &ALL_TOPICS);
    }

    pub(crate) fn hear(&mut self, within: Duration) -> std::io::Result<Vec<u8>> {
        self.0.set_read_timeout(Some(within))?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.0.read_exact(&mut answer)?;
        // After the correlation.
        Ok(answer.split_off(4))
    }

    fn ask(&mut self, kind: i16, version: i16, body: &[u8]) -> Vec<u8> {
        self.send(kind, version, body);
        self.hear(Duration::from_secs(20)).unwrap()
    }

    fn send(&mut self, kind: i16, version: i16, body: &[u8]) {
        let head = [&kind.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7], &text("it")].concat();
        let length = u32::try_from(head.len() + body.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&length[..], &head, body].concat()).unwrap();
    }
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}
