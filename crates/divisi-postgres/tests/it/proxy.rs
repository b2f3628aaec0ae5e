//! A wire between store and server that a test can cut at a message of the protocol, or let go dead without a word.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
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
    /// The same, and the answers to what came before it have come back.
    BeforeCommitAnswered,
    /// COMMIT reaches the server, and what comes back ends behind the first thing that the server refuses.
    AfterRefusal,
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
    spoils_begin: AtomicBool,
    n_cut: AtomicUsize,
    dead: watch::Sender<bool>,
}

impl Shared {
    /// What a COMMIT meets, once. What an answer meets is left.
    fn next_cut(&self) -> u8 {
        let of_commit = |cut| (cut != Cut::AfterRefusal as u8).then_some(Cut::Never as u8);
        let met = self.cut.fetch_update(Ordering::SeqCst, Ordering::SeqCst, of_commit);
        met.unwrap_or(Cut::Never as u8)
    }

    /// Whether a refusal is what is cut behind, once.
    fn cuts_refusal(&self) -> bool {
        let (before, after) = (Cut::AfterRefusal as u8, Cut::Never as u8);
        self.cut.compare_exchange(before, after, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

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
            spoils_begin: AtomicBool::new(false),
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

    /// The server does not understand the next BEGIN.
    pub(crate) fn spoil_next_begin(&self) {
        self.shared.spoils_begin.store(true, Ordering::SeqCst);
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
    let (n_answered, answered) = watch::channel(0);
    let answers = tokio::spawn(copy(from_server, to_client, n_answered, Arc::clone(shared)));
    let after_commit = forward(from_client, to_server, answered, shared).await;
    answers.abort();
    if let Some(mut to_server) = after_commit {
        // The server has it all the same: it commits, and finds nobody to tell.
        let _ = to_server.flush().await;
    }
}

/// Passes answers on, until one side ends or the wire is cut behind a refusal.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    n_answered: watch::Sender<usize>,
    shared: Arc<Shared>,
) {
    while let Some((kind, message)) = read_message(&mut from, true).await {
        shared.alive().await;
        if to.write_all(&message).await.is_err() {
            return;
        }
        if kind == Some(b'Z') {
            n_answered.send_modify(|n| *n += 1);
        }
        if kind == Some(b'E') && shared.cuts_refusal() {
            shared.n_cut.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

/// The next message, its type first if it has one.
async fn read_message(from: &mut OwnedReadHalf, typed: bool) -> Option<(Option<u8>, Vec<u8>)> {
    let kind = if typed { Some(from.read_u8().await.ok()?) } else { None };
    let length = from.read_u32().await.ok()?;
    let mut message: Vec<u8> = kind.into_iter().chain(length.to_be_bytes()).collect();
    let head = message.len();
    message.resize(head + usize::try_from(length).ok()?.checked_sub(4)?, 0);
    from.read_exact(&mut message[head..]).await.ok()?;
    Some((kind, message))
}

/// Passes messages to the server; the wire to it, when it was cut behind a COMMIT.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut answered: watch::Receiver<usize>,
    shared: &Shared,
) -> Option<OwnedWriteHalf> {
    // The first message has no type.
    let mut typed = false;
    // The server says that it is ready once behind each of these.
    let mut n_asked = 0;
    loop {
        let (kind, mut message) = read_message(&mut from, typed).await?;
        shared.alive().await;
        let is_query = kind == Some(b'Q');
        if is_query && message[5..].starts_with(b"BEGIN") && shared.spoils_begin.swap(false, Ordering::SeqCst)
        {
            message[5..10].copy_from_slice(b"BEGUN");
        }
        let commits = is_query && message.ends_with(b"; COMMIT\0");
        let cut = if commits { shared.next_cut() } else { Cut::Never as u8 };
        if cut == Cut::BeforeCommitAnswered as u8 {
            answered.wait_for(|n| *n >= n_asked).await.ok()?;
        }
        if [Cut::BeforeCommit as u8, Cut::BeforeCommitAnswered as u8].contains(&cut) {
            shared.n_cut.fetch_add(1, Ordering::SeqCst);
            return None;
        }
        to.write_all(&message).await.ok()?;
        if cut == Cut::AfterCommit as u8 {
            shared.n_cut.fetch_add(1, Ordering::SeqCst);
            return Some(to);
        }
        n_asked += usize::from(!typed || is_query || kind == Some(b'S'));
        typed = true;
    }
}
