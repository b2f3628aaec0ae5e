//! The promises that every way to a log keeps.

use std::sync::{Arc, Mutex};

use divisi_call::{Client, Place, Route};
use divisi_contract::ServiceName;
use divisi_events::conformance::feed::{SOURCE, feed_suite};
use divisi_events::{EventLogClient, Feed};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::{Schema, StoreName, Stores};
use divisi_tcp::{Limits, Server};
use tokio::task::JoinSet;

use crate::support::client;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_over_tcp_keeps_every_promise_of_a_feed() {
    let dirs = Mutex::new(Vec::new());
    let servers = Mutex::new(JoinSet::new());
    feed_suite(
        async |schema: Schema| {
            let dir = tempfile::tempdir().expect("a directory");
            let sqlite = Sqlite::new(dir.path(), Options::default());
            dirs.lock().expect("nobody panicked").push(dir);
            sqlite.open(&StoreName::of(SOURCE), &schema).await.expect("a store opens in a new directory")
        },
        async |log, caller| {
            let services = vec![(ServiceName::from(SOURCE), vec![EventLogClient::serve(log, None)])];
            let server =
                Server::bind("127.0.0.1:0", services, Limits::default()).await.expect("a free port is found");
            let addr = server.local_addr().expect("it is bound").to_string();
            servers.lock().expect("nobody panicked").spawn(server.serve(std::future::pending()));
            let route = Route::new(SOURCE);
            route.lead_to(Place::Remote(Arc::new(client(&addr, Limits::default()))));
            Arc::new(EventLogClient::over(caller, route)) as Arc<dyn Feed>
        },
    )
    .await;
}
