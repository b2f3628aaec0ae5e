//! Connections: accepted within a limit, served, and drained at the end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::limits::Limits;
use crate::stall::Stalling;

/// The pause after the system had no room for a connection, so that those that are open can end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown`, then waits for open requests as long as the limits allow. The set of connections
/// is owned here: when this ends, or is dropped, none is left.
pub(crate) async fn serve(
    router: Router,
    limits: Limits,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max)
        .max_header_size(limits.head_bytes_max);
    let service = TowerToHyperService::new(router);
    let places = Arc::new(Semaphore::new(limits.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let (close, closing) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut in_trouble = false;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => note_panic(ended),
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    in_trouble = false;
                    let stream = Stalling::new(stream, limits.answer_stall_max);
                    connections.spawn(connection(http.clone(), service.clone(), stream, place, closing.clone()));
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) if is_of_the_listener(&error) => return Err(error),
                // Too many files are open, most likely, and strangers can bring that about: it passes, however long
                // it takes, and those who are connected are served meanwhile.
                Err(error) => {
                    if !std::mem::replace(&mut in_trouble, true) {
                        warn!(%error, "cannot accept a connection, trying again: {error}");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(closing);
    drop(close);
    let n_open = connections.len();
    let drained = timeout(limits.drain_time_max, async {
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
    })
    .await;
    if drained.is_err() {
        warn!(
            connections = connections.len(),
            "connections were still open after the time to drain, and are cut"
        );
        connections.shutdown().await;
    } else {
        info!(connections = n_open, "the gateway has answered what was open and stopped");
    }
    Ok(())
}

/// Takes a place, then a connection: without a place, a stranger waits in the system's backlog.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are written whole; waiting to fill a packet only makes them late.
    let _ = stream.set_nodelay(true);
    Ok((stream, place))
}

/// One connection, from its first request to its last. Once `closing` is at its end, the request in flight is the last.
async fn connection(
    http: http1::Builder,
    service: TowerToHyperService<Router>,
    stream: Stalling<TcpStream>,
    place: OwnedSemaphorePermit,
    mut closing: watch::Receiver<()>,
) {
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        _ = closing.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
    drop(place);
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Whether no connection will ever come again.
fn is_of_the_listener(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected)
}

/// A method's panic is answered; what reaches this one is a page's, and costs its own connection only.
fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        warn!(%error, "a page panicked, and its connection was closed");
    }
}
