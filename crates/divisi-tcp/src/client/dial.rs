//! Making a connection.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::connection::{Connection, Terms};
use super::offers::Offers;
use super::task::ConnectionTask;
use crate::frame::Decoder;
use crate::handshake::{self, HandshakeError, Hello, Refuse, VERSION_MAX, VERSION_MIN, Welcome};
use crate::limits::{HANDSHAKE_FRAME_MAX, Limits};
use crate::message::Kind;
use crate::outgoing::Outgoing;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The system could not connect.
    #[error("{}", .0.kind())]
    Connect(#[source] io::Error),
    /// Nobody answered in time.
    #[error("nobody answered within {within_ms} ms")]
    TimeOut { within_ms: u128 },
    /// Somebody answered, but no agreement came of it.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl DialError {
    /// Whether it may be over by itself, as when the server starts or ends.
    pub(super) fn passes(&self) -> bool {
        match self {
            DialError::Connect(_) | DialError::TimeOut { .. } => true,
            DialError::Handshake(error) => {
                matches!(error, HandshakeError::Silent | HandshakeError::Io(_) | HandshakeError::TimeOut)
            }
        }
    }
}

/// A connection, the task that serves it, and the word that it takes no more calls.
pub(super) struct Dialled {
    pub(super) connection: Arc<Connection>,
    pub(super) task: ConnectionTask,
    pub(super) no_more_calls: oneshot::Receiver<String>,
}

/// Connects to `addr` in the name of `name`.
pub(super) async fn dial(addr: &str, name: &str, limits: &Limits) -> Result<Dialled, DialError> {
    let stream = match tokio::time::timeout(limits.connect_within, TcpStream::connect(addr)).await {
        Ok(stream) => stream.map_err(DialError::Connect)?,
        Err(_) => return Err(DialError::TimeOut { within_ms: limits.connect_within.as_millis() }),
    };
    match tokio::time::timeout(limits.handshake_within, greet(stream, name, limits)).await {
        Ok(dialled) => Ok(dialled?),
        Err(_) => Err(HandshakeError::TimeOut.into()),
    }
}

async fn greet(stream: TcpStream, name: &str, limits: &Limits) -> Result<Dialled, HandshakeError> {
    stream.set_nodelay(true)?;
    let (mut read, write) = stream.into_split();
    let hello = Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        name: name.to_owned(),
        frame_max: u32::try_from(limits.frame_max).unwrap_or(u32::MAX),
    };
    let mut out = Outgoing::default();
    handshake::put(&mut out, Kind::Hello, &hello)?;
    std::future::poll_fn(|task| out.poll_write(write.as_ref(), task, &mut 0)).await?;

    let mut decoder = Decoder::new(HANDSHAKE_FRAME_MAX);
    let frame = handshake::read(&mut read, &mut decoder).await?;
    let welcome: Welcome = match Kind::of(frame.kind) {
        Some(Kind::Welcome) => handshake::parse(Kind::Welcome, &frame.body)?,
        Some(Kind::Refuse) => {
            let refuse: Refuse = handshake::parse(Kind::Refuse, &frame.body)?;
            return Err(HandshakeError::Refused { message: refuse.shown() });
        }
        _ => return Err(HandshakeError::NotAGreeting { kind: frame.kind }),
    };
    decoder.set_max(limits.frame_max);

    let server_takes = usize::try_from(welcome.frame_max).unwrap_or(usize::MAX);
    let server_runs = usize::try_from(welcome.calls_max).unwrap_or(usize::MAX);
    let terms = Terms {
        offers: Offers::new(welcome.contracts),
        request_max: server_takes.min(limits.frame_max),
        calls_max: server_runs.min(limits.calls_in_flight_max),
        write_buffer_max: limits.write_buffer_max,
    };
    let write = Arc::new(write);
    let connection = Arc::new(Connection::new(terms, Arc::clone(&write)));
    let (said, no_more_calls) = oneshot::channel();
    let task = ConnectionTask::new(Arc::clone(&connection), read, write, decoder, limits.clone(), said);
    Ok(Dialled { connection, task, no_more_calls })
}
