//! A shop and a listener with their files, and the consumer between them.

use std::future::pending;
use std::sync::Arc;

use divisi::call::{Client as _, Place as Way, Route};
use divisi::events::consumer::Consumer;
use divisi::events::{EventLogClient, Feed, Handlers, Listeners, Log, LogOptions};
use divisi::sqlite::{Options, Sqlite, SqliteStore};
use divisi::store::{Schema, StoreName};
use divisi::{Event, Store};
use divisi_tcp::{Client, ClientOptions, Limits, Server};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::listening::Listening;
use super::sale::{self, Hear, Sold};
use crate::runtime::Owned;

/// One service's file, open.
pub(super) struct Open {
    pub(super) dir: TempDir,
    pub(super) store: Store,
    pub(super) file: Arc<SqliteStore>,
}

impl Open {
    /// A new file, with the options that an app gets.
    pub(super) async fn new(name: &'static str, schema: &Schema) -> anyhow::Result<Open> {
        let dir = tempfile::tempdir()?;
        let (store, file) =
            Sqlite::new(dir.path(), Options::default()).open_store(&StoreName::of(name), schema).await?;
        Ok(Open { dir, store, file })
    }
}

/// Where the listener is, seen from the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    /// In the same process, by a function call.
    Process,
    /// At the other end of a TCP connection.
    Tcp,
}

/// Both services.
pub(super) struct Services {
    pub(super) shop: Open,
    pub(super) listener: Open,
    log: Arc<Log>,
    feed: Arc<dyn Feed>,
    hear: Hear,
    _tasks: Vec<Owned>,
}

impl Services {
    /// New files; nobody listens yet.
    pub(super) fn open(runtime: &Runtime, between: Between, hear: Hear) -> anyhow::Result<Services> {
        let shop = runtime.block_on(Open::new("shop", &sale::shop()))?;
        let listener = runtime.block_on(Open::new("listener", &sale::listener()))?;
        let listeners = Listeners::none().allow(Sold::TOPIC, "listener");
        let log = Log::new(shop.store.clone(), listeners, LogOptions::default());
        let keeping = Arc::clone(&log);
        let mut tasks = vec![Owned::spawn(runtime, async move { keeping.run().await })];
        let served = EventLogClient::serve(Arc::clone(&log), None);
        let route = Route::new("shop");
        match between {
            Between::Process => route.lead_to(Way::Local(vec![served])),
            Between::Tcp => {
                let services = vec![("shop".into(), vec![served])];
                let server = runtime.block_on(Server::bind("127.0.0.1:0", services, Limits::default()))?;
                let addr = server.local_addr()?.to_string();
                tasks.push(Owned::spawn(runtime, async move {
                    server.serve(pending()).await;
                }));
                let _inside = runtime.enter();
                // As a host does it: history travels beside calls, not among them.
                let bulk = |contract: &str| contract == EventLogClient::contract().name;
                let options = ClientOptions { bulk, ..ClientOptions::default() };
                route.lead_to(Way::Remote(Arc::new(Client::new(addr, options))))
            }
        };
        let feed = Arc::new(EventLogClient::over("listener".into(), route));
        Ok(Services { shop, listener, log, feed, hear, _tasks: tasks })
    }

    /// Starts the consumer; it goes on where the last one stopped.
    pub(super) fn listen(&self, runtime: &Runtime) -> Listening {
        let handlers = Handlers::new().react::<Sold, _>(self.hear.clone());
        let consumer = Consumer::new("listener", self.listener.store.clone(), handlers).from(
            "shop",
            Sold::TOPIC,
            Arc::clone(&self.feed),
        );
        Listening::start(runtime, consumer)
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.log.close();
    }
}
