//! A wire between store and server that a test can cut at a message of the protocol, or let go dead without a word.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Where the next connection that commits is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    /// Nowhere.
    Never,
    /// COMMIT does not reach the server, what came before it does.
    BeforeCommit,
    /// COMMIT reaches the server, its answer does not come back.
    AfterCommit,
}

/// A proxy in front of a server.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    server: Mutex<SocketAddr>,
    cut: AtomicU8,
    n_cut: AtomicUsize,
    dead: watch::Sender<bool>,
}

impl Shared {
    /// Waits as long as the wire is dead.
    async fn alive(&self) {
        // It ends with the proxy, whose tasks end as well.
        let _ = self.dead.subscribe().wait_for(|dead| !dead).await;
    }
}

impl Proxy {
    /// Listens on a free port in front of `server`.
    pub(crate) async fn before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            cut: AtomicU8::new(Cut::Never as u8),
            n_cut: AtomicUsize::new(0),
            dead: watch::Sender::new(false),
        });
        let sharing = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&sharing);
                connections.spawn(async move {
                    let server = *shared.server.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Ok(server) = TcpStream::connect(server).await {
                        pass(client, server, &shared).await;
                    }
                });
            }
        });
        Proxy { port, shared, task: task.abort_handle() }
    }

    /// New connections lead to another server, as a service's address does after a failover.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        *self.shared.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Cuts the next connection that commits.
    pub(crate) fn cut_next(&self, cut: Cut) {
        self.shared.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// Nothing comes through in either direction, and no connection ends, until it is said to be alive again.
    pub(crate) fn dead(&self, dead: bool) {
        self.shared.dead.send_replace(dead);
    }

    /// How many connections were cut.
    pub(crate) fn n_cut(&self) -> usize {
        self.shared.n_cut.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes on until one side ends or the wire is cut; then both are closed.
async fn pass(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let answers = tokio::spawn(copy(from_server, to_client, Arc::clone(shared)));
    let after_commit = forward(from_client, to_server, shared).await;
    answers.abort();
    if let Some(mut to_server) = after_commit {
        // The server has it all the same: it commits, and finds nobody to tell.
        let _ = to_server.flush().await;
    }
}

/// Passes answers on, until one side ends.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: Arc<Shared>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        shared.alive().await;
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// Passes messages to the server; the wire to it, when it was cut behind a COMMIT.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) -> Option<OwnedWriteHalf> {
    // The first message has no type.
    let mut typed = false;
    loop {
        let kind = if typed { Some(from.read_u8().await.ok()?) } else { None };
        let length = from.read_u32().await.ok()?;
        let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
        from.read_exact(&mut body).await.ok()?;
        shared.alive().await;
        let commits = kind == Some(b'Q') && body.ends_with(b"; COMMIT\0");
        let cut = if commits { shared.cut.swap(Cut::Never as u8, Ordering::SeqCst) } else { 0 };
        if cut == Cut::BeforeCommit as u8 {
            shared.n_cut.fetch_add(1, Ordering::SeqCst);
            return None;
        }
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend(length.to_be_bytes());
        message.extend(body);
        to.write_all(&message).await.ok()?;
        if cut == Cut::AfterCommit as u8 {
            shared.n_cut.fetch_add(1, Ordering::SeqCst);
            return Some(to);
        }
        typed = true;
    }
}
