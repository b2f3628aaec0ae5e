//! A port on loopback that stays a server's own while the server is down.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

use crate::error::Error;

/// A free port, kept from others while this is held.
///
/// It is a socket that is bound and never listens. The server, which allows it to share (`SO_REUSEADDR`, as all
/// three do), may listen there; whoever looks for any free port passes it by.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Port {
    /// Takes `port`; zero lets the system choose.
    pub(crate) fn take(port: u16) -> Result<Port, Error> {
        let take = || -> io::Result<Port> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(Port { address: socket.local_addr()?, _socket: socket })
        };
        take().map_err(|source| Error::Port { port, source })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_port_may_be_listened_on_again_and_again_and_is_nobody_elses() {
        let port = Port::take(0).unwrap();
        for _ in 0..3 {
            assert!(TcpStream::connect(port.address()).is_err(), "nobody listens");
            let listener = TcpListener::bind(port.address()).unwrap();
            let client = TcpStream::connect(port.address()).unwrap();
            drop((listener.accept().unwrap(), client));
        }
        let others: Vec<Port> = (0..200).map(|_| Port::take(0).unwrap()).collect();
        assert!(others.iter().all(|other| other.address() != port.address()));
    }
}
