//! The promises that every way to a service keeps.

use std::sync::{Arc, Mutex};

use divisi_call::{Place, Served};
use divisi_contract::ServiceName;
use divisi_tcp::{Limits, Server};
use tokio::task::JoinSet;

use crate::support::client;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_tcp_keeps_every_promise_of_a_call() {
    let servers = Arc::new(Mutex::new(JoinSet::new()));
    divisi_call::conformance::caller_suite(|served: Vec<Served>| {
        let servers = Arc::clone(&servers);
        async move {
            let services = vec![(ServiceName::from(divisi_call::conformance::SERVICE), served)];
            let server =
                Server::bind("127.0.0.1:0", services, Limits::default()).await.expect("a free port is found");
            let addr = server.local_addr().expect("it is bound").to_string();
            servers.lock().expect("nobody panicked").spawn(server.serve(std::future::pending()));
            Place::Remote(Arc::new(client(&addr, Limits::default())))
        }
    })
    .await;
}
