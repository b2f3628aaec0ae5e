//! Addresses of processes that are known before the processes run, and stay theirs across restarts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Instant, sleep};

/// Connections that may wait to be accepted: the usual bound of the kernel is larger, and that of a service smaller.
const BACKLOG: u32 = 1_024;
/// How long the processes of a supervisor that was killed may take to end.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// How often one looks whether they have.
const LINGER_LOOK: Duration = Duration::from_millis(20);

/// A free port on loopback, kept from others while this is held.
///
/// It is a socket that is bound and never listens. A process of the same user that asks to share the port may listen
/// on it, through [`listen`]; anybody else, and any connection that looks for a port, passes it by.
#[derive(Debug)]
pub struct Reserved {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Reserved {
    /// Reserves a free port.
    pub fn new() -> io::Result<Reserved> {
        Reserved::now(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Reserves `address`; a port of zero lets the system choose. Fails when somebody else has it for longer than a
    /// second: the processes of a supervisor that was killed a moment ago end by themselves, and until they have ended
    /// they hold it.
    pub async fn at(address: SocketAddr) -> io::Result<Reserved> {
        let until = Instant::now() + LINGER_MAX;
        loop {
            match Reserved::now(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                    sleep(LINGER_LOOK).await;
                }
                reserved => return reserved,
            }
        }
    }

    fn now(address: SocketAddr) -> io::Result<Reserved> {
        // Another supervisor of this user would share it silently; so it must be free for one alone first.
        bind(address, Share { with_past: true, with_user: false })?;
        // Whoever shares with the past could take the port, so this one does not, if it can: connections of a server
        // that has just ended may linger, and only the past lets them.
        let socket = bind(address, Share { with_past: false, with_user: true })
            .or_else(|_| bind(address, Share { with_past: true, with_user: true }))?;
        Ok(Reserved { address: socket.local_addr()?, _socket: socket })
    }

    /// The address with the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens on `address`; when `supervised`, the supervisor may have reserved it.
pub fn listen(address: SocketAddr, supervised: bool) -> io::Result<TcpListener> {
    // Without a supervisor nobody may share it: two processes with one address are a mistake that should be seen.
    bind(address, Share { with_past: true, with_user: supervised })?.listen(BACKLOG)
}

/// With whom a port is shared.
struct Share {
    /// Connections that linger, and sockets that do not listen: `SO_REUSEADDR`.
    with_past: bool,
    /// Processes of the same user that share it too: `SO_REUSEPORT`.
    with_user: bool,
}

fn bind(address: SocketAddr, share: Share) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(share.with_past)?;
    socket.set_reuseport(share.with_user)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_reserved_port_is_its_process_alone_across_restarts() {
        let reserved = Reserved::new().unwrap();
        let taken = |result: io::Result<TcpListener>| result.unwrap_err().kind() == io::ErrorKind::AddrInUse;
        for _ in 0..3 {
            assert!(taken(listen(reserved.address(), false)), "a stranger cannot have it");
            assert!(TcpStream::connect(reserved.address()).await.is_err(), "nobody listens");
            let listener = listen(reserved.address(), true).unwrap();
            let connecting = TcpStream::connect(reserved.address());
            let (accepted, connected) = tokio::join!(listener.accept(), connecting);
            accepted.unwrap();
            connected.unwrap();
        }
    }

    #[tokio::test]
    async fn two_without_a_supervisor_cannot_share_an_address() {
        let first = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).unwrap();
        let second = listen(first.local_addr().unwrap(), false);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_held_for_a_moment_is_waited_for() {
        let held = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).unwrap();
        let address = held.local_addr().unwrap();
        let (reserved, ()) = tokio::join!(Reserved::at(address), async {
            tokio::time::sleep(LINGER_MAX / 2).await;
            drop(held);
        });
        assert_eq!(reserved.unwrap().address(), address);
    }

    #[tokio::test(start_paused = true)]
    async fn two_supervisors_cannot_reserve_one_address() {
        let first = Reserved::new().unwrap();
        let taken = |result: io::Result<Reserved>| result.unwrap_err().kind() == io::ErrorKind::AddrInUse;
        assert!(taken(Reserved::at(first.address()).await), "while its process is down");
        let _listener = listen(first.address(), true).unwrap();
        assert!(taken(Reserved::at(first.address()).await), "and while it listens");
    }

    #[tokio::test]
    async fn an_address_is_free_as_soon_as_its_server_has_ended() {
        for supervised in [false, true] {
            let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), supervised).unwrap();
            let address = listener.local_addr().unwrap();
            let (accepted, connected) = tokio::join!(listener.accept(), TcpStream::connect(address));
            // The side that closes first is the one whose connection lingers.
            drop(accepted.unwrap());
            let mut rest = Vec::new();
            connected.unwrap().read_to_end(&mut rest).await.unwrap();
            drop(listener);
            let reserved = Reserved::at(address).await.unwrap();
            listen(reserved.address(), true).unwrap();
        }
    }
}
