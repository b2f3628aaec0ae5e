//! The greeting, seen from the server.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::offers::Offers;
use crate::frame::{Decoder, Frame};
use crate::handshake::{self, HandshakeError, Hello, Refuse, Welcome};
use crate::limits::{HANDSHAKE_FRAME_MAX, Limits};
use crate::message::Kind;
use crate::outgoing::Outgoing;

/// Answers the greeting of one client too many.
pub(super) async fn refuse(stream: TcpStream, limits: &Limits, message: String) {
    let refusal = async {
        let (mut read, write) = stream.into_split();
        let mut decoder = Decoder::new(HANDSHAKE_FRAME_MAX);
        // Its greeting is read first: closing with bytes unread would take back the refusal.
        handshake::read(&mut read, &mut decoder).await?;
        send_refusal(write, &Refuse { message }).await
    };
    // Whether it heard the reason or gave up before does not matter here.
    let _ = tokio::time::timeout(limits.handshake_within, refusal).await;
}

/// Waits for a client's greeting and answers it.
pub(super) async fn greet(
    stream: TcpStream,
    offers: &Offers,
    limits: &Limits,
) -> Result<(OwnedReadHalf, OwnedWriteHalf, Decoder, Hello), HandshakeError> {
    stream.set_nodelay(true)?;
    let (mut read, write) = stream.into_split();
    let mut decoder = Decoder::new(HANDSHAKE_FRAME_MAX);
    let Frame { kind, body, .. } = handshake::read(&mut read, &mut decoder).await?;
    if kind != Kind::Hello as u8 {
        return Err(HandshakeError::NotAGreeting { kind });
    }
    let hello = handshake::parse::<Hello>(Kind::Hello, &body)?.shown();
    let version = match handshake::agree(&hello) {
        Ok(version) => version,
        Err(refuse) => {
            send_refusal(write, &refuse).await?;
            return Err(HandshakeError::Version { message: refuse.message });
        }
    };
    let welcome = Welcome {
        version,
        frame_max: u32::try_from(limits.frame_max).unwrap_or(u32::MAX),
        calls_max: u32::try_from(limits.calls_in_flight_max).unwrap_or(u32::MAX),
        contracts: offers.list(),
    };
    let mut out = Outgoing::default();
    handshake::put(&mut out, Kind::Welcome, &welcome)?;
    flush(&write, &mut out).await?;
    decoder.set_max(limits.frame_max);
    Ok((read, write, decoder, hello))
}

async fn send_refusal(mut write: OwnedWriteHalf, refuse: &Refuse) -> Result<(), HandshakeError> {
    let mut out = Outgoing::default();
    handshake::put(&mut out, Kind::Refuse, refuse)?;
    flush(&write, &mut out).await?;
    Ok(write.shutdown().await?)
}

async fn flush(write: &OwnedWriteHalf, out: &mut Outgoing) -> std::io::Result<()> {
    std::future::poll_fn(|task| out.poll_write(write.as_ref(), task, &mut 0)).await
}
