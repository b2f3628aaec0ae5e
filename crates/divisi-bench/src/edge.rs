//! The gateway over a contract beside bare axum: the same handler, the same JSON, the same client.

mod client;

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use divisi::call::{Client, Edge, Place, Route};
use divisi::gateway::{Gateway, Limits};
use divisi::{Answer, Context};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use self::client::Http;
use crate::load::{Load, load};
use crate::order::Order;
use crate::report::{Aim, Report};
use crate::runtime::{Owned, WORKERS, runtime};

const ROUNDS: usize = 11;
const IN_FLIGHT: [usize; 2] = [1, 64];
const WARM_UP: Duration = Duration::from_millis(250);
const SPAN: Duration = Duration::from_millis(1_500);

/// What is called: it answers with what it got.
#[divisi::contract]
trait Shop {
    /// Takes an order and confirms it.
    #[post("/orders")]
    async fn sell(&self, cx: &Context, order: Order) -> Answer<Order>;
}

struct Service;

impl Shop for Service {
    async fn sell(&self, _cx: &Context, order: Order) -> Answer<Order> {
        Ok(order)
    }
}

/// Measures both.
pub(crate) fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("edge");
    report.condition(format!(
        "client and server are one process, each with a tokio runtime of {WORKERS} threads; both servers share one"
    ));
    report.condition("POST of a record of ten fields as JSON, the record comes back; HTTP/1.1, TCP_NODELAY");
    report.condition(format!(
        "a keep-alive connection for each request in flight; {ROUNDS} rounds in turn of {SPAN:?} after {WARM_UP:?} of the same"
    ));
    report.condition(
        "the gateway: its default limits, a trace and a deadline for each request; axum: `Json` in and out",
    );
    let (clients, server) = (runtime("client")?, runtime("server")?);
    let (gateway, _gateway) = gateway(&server)?;
    let (bare, _bare) = bare(&server)?;
    for in_flight in IN_FLIGHT {
        let gateway = clients.block_on(Http::connect(gateway, in_flight))?;
        let bare = clients.block_on(Http::connect(bare, in_flight))?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(one(&clients, &gateway)?);
            theirs.push(one(&clients, &bare)?);
        }
        for (name, loads) in [("gateway", &ours), ("axum", &theirs)] {
            let of = |what: fn(&Load) -> f64| -> Vec<f64> { loads.iter().map(what).collect() };
            report.figure(format!("{name}, {in_flight} in flight"), "requests/s", &of(|load| load.rate));
            report.figure(format!("{name}, {in_flight} in flight, p50"), "µs", &of(|load| load.p50));
            report.figure(format!("{name}, {in_flight} in flight, p99"), "µs", &of(|load| load.p99));
        }
        let rates = |loads: &[Load]| -> Vec<f64> { loads.iter().map(|load| load.rate).collect() };
        report.ratio(
            format!("gateway ÷ axum, {in_flight} in flight"),
            &rates(&ours),
            &rates(&theirs),
            Aim::AtLeast(0.9),
        );
    }
    Ok(report)
}

fn one(clients: &Runtime, connections: &[Http]) -> anyhow::Result<Load> {
    clients.block_on(async { tokio::spawn(load(connections.to_vec(), WARM_UP, SPAN)).await? })
}

/// The gateway, over a client of a service in the same process.
fn gateway(server: &Runtime) -> anyhow::Result<(SocketAddr, Owned)> {
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let addr = listener.local_addr()?;
    let route = Route::new("shop");
    route.lead_to(Place::Local(vec![ShopClient::serve(Arc::new(Service), None)]));
    let edge: Arc<dyn Edge> = Arc::new(ShopClient::over("gateway".into(), route));
    let gateway = Gateway::new("gateway".into(), vec![edge], Limits::default())?;
    let serving = Owned::spawn(server, async move {
        if let Err(error) = gateway.serve(listener, pending()).await {
            eprintln!("the gateway ended: {error:#}");
        }
    });
    Ok((addr, serving))
}

/// The same handler in an axum router, served as axum's documentation does it.
fn bare(server: &Runtime) -> anyhow::Result<(SocketAddr, Owned)> {
    async fn sell(Json(order): Json<Order>) -> Json<Order> {
        Json(order)
    }
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let addr = listener.local_addr()?;
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("axum: no TCP_NODELAY: {error}");
        }
    });
    let serving = Owned::spawn(server, async move {
        if let Err(error) = axum::serve(listener, Router::new().route("/orders", post(sell))).await {
            eprintln!("axum ended: {error:#}");
        }
    });
    Ok((addr, serving))
}
