//! Stands between a carrier and its server, and swallows what the server says when it is told to.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to what the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// It is read and forgotten; what the client says goes through.
    Swallowed,
}

/// A way to a server that can be cut in one direction.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let way = Arc::new(watch::Sender::new(Way::Open));
        let task = tokio::spawn(accept(listener, server, Arc::clone(&way)));
        Proxy { address, way, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// From now on nothing that the server says arrives.
    pub(crate) fn swallow(&self) {
        self.way.send_replace(Way::Swallowed);
    }

    /// It arrives again, on new connections: the old ones lack bytes, and are cut.
    pub(crate) fn heal(&self) {
        self.way.send_replace(Way::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, way: Arc<watch::Sender<Way>>) {
    let mut ways = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if let Ok(server) = TcpStream::connect(server).await {
            ways.spawn(carry(client, server, way.subscribe()));
        }
    }
}

/// Carries both directions until one ends, or the way opens again behind what was swallowed.
async fn carry(client: TcpStream, server: TcpStream, mut way: watch::Receiver<Way>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let watched = way.clone();
    let healed = async move {
        let swallowed = way.wait_for(|way| *way == Way::Swallowed).await.is_ok();
        if !swallowed || way.wait_for(|way| *way == Way::Open).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = pump(from_client, to_server, None) => {}
        () = pump(from_server, to_client, Some(watched)) => {}
        () = healed => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Option<watch::Receiver<Way>>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        let swallowed = way.as_ref().is_some_and(|way| *way.borrow() == Way::Swallowed);
        if !swallowed && to.write_all(&bytes[..n]).await.is_err() {
            break;
        }
    }
}
