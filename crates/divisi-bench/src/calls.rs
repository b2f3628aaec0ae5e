//! Calls: in this process beside a direct call of the trait, over TCP beside a bare loop of frames, tarpc and tonic.

mod bare;
mod divisi;
mod local;
mod peer_tarpc;
mod peer_tonic;

use std::collections::BTreeMap;
use std::time::Duration;

use ::divisi::{Answer, Context};
use tokio::runtime::Runtime;

use crate::load::{Load, Peer, load};
use crate::order::Order;
use crate::report::{Aim, Report};
use crate::runtime::{WORKERS, runtime};

const ROUNDS: usize = 5;
const IN_FLIGHT: [usize; 3] = [1, 64, 256];
const WARM_UP: Duration = Duration::from_millis(250);
const SPAN: Duration = Duration::from_secs(1);

/// Each peer with what Divisi should come to beside it.
const PEERS: [(&str, f64); 3] = [("bare", 0.8), ("tarpc", 1.5), ("tonic", 8.0)];

/// What is called: it answers with what it got.
#[::divisi::contract]
trait Shop {
    /// Takes an order and confirms it.
    async fn sell(&self, cx: &Context, order: Order) -> Answer<Order>;
    /// What an order would cost.
    async fn price(&self, cx: &Context, order: Order) -> Answer<u64>;
}

struct Service;

impl Shop for Service {
    async fn sell(&self, _cx: &Context, order: Order) -> Answer<Order> {
        Ok(order)
    }

    async fn price(&self, _cx: &Context, order: Order) -> Answer<u64> {
        Ok(order.price)
    }
}

/// Measures all of it.
pub(crate) fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("calls");
    report.condition(format!(
        "client and server are one process, each with a tokio runtime of {WORKERS} threads; all peers share both runtimes"
    ));
    report.condition(format!(
        "over TCP: one connection on the loopback, TCP_NODELAY, a record of ten fields ({} bytes encoded) there and back",
        ::divisi::contract::codec::encode(&Order::sample())?.len()
    ));
    report.condition(format!(
        "{ROUNDS} rounds in turn of {SPAN:?} after {WARM_UP:?} of the same, in a closed loop"
    ));
    report.condition(
        "bare: frames of a length and the same encoding, answered in order; no ids, deadlines or limits",
    );
    report
        .condition("tarpc: bincode; tonic: protobuf, no deadline set; Divisi and tarpc: a deadline of 10 s");
    let (client, server) = (runtime("client")?, runtime("server")?);
    local::measure(&client, &mut report)?;
    over_tcp(&client, &server, &mut report)?;
    Ok(report)
}

fn over_tcp(client: &Runtime, server: &Runtime, report: &mut Report) -> anyhow::Result<()> {
    let (divisi, _divisi) = divisi::start(client, server)?;
    let (bare, _bare) = bare::start(client, server)?;
    let (tarpc, _tarpc) = peer_tarpc::start(client, server)?;
    let (tonic, _tonic) = peer_tonic::start(client, server)?;
    for in_flight in IN_FLIGHT {
        let mut loads: BTreeMap<&str, Vec<Load>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for (name, load) in [
                ("divisi", one(client, &divisi, in_flight)?),
                ("bare", one(client, &bare, in_flight)?),
                ("tarpc", one(client, &tarpc, in_flight)?),
                ("tonic", one(client, &tonic, in_flight)?),
            ] {
                loads.entry(name).or_default().push(load);
            }
        }
        let of = |name: &str, what: fn(&Load) -> f64| -> Vec<f64> {
            loads.get(name).into_iter().flatten().map(what).collect()
        };
        for name in ["divisi", "bare", "tarpc", "tonic"] {
            report.figure(format!("{name}, {in_flight} in flight"), "calls/s", &of(name, |load| load.rate));
            report.figure(format!("{name}, {in_flight} in flight, p50"), "µs", &of(name, |load| load.p50));
            report.figure(format!("{name}, {in_flight} in flight, p99"), "µs", &of(name, |load| load.p99));
        }
        // How much there is to be had at all: nothing that adds something to the bare loop is faster than it.
        for name in ["tarpc", "tonic"] {
            let (bare, theirs) = (of("bare", |load| load.rate), of(name, |load| load.rate));
            let ratios: Vec<f64> = bare.iter().zip(&theirs).map(|(bare, theirs)| bare / theirs).collect();
            report.figure(format!("bare ÷ {name}, {in_flight} in flight"), "×", &ratios);
        }
        let ours = of("divisi", |load| load.rate);
        for (name, least) in PEERS {
            let theirs = of(name, |load| load.rate);
            report.ratio(
                format!("TCP calls/s ÷ {name}, {in_flight} in flight"),
                &ours,
                &theirs,
                Aim::AtLeast(least),
            );
        }
    }
    Ok(())
}

/// One round of one peer.
fn one<P: Peer>(client: &Runtime, peer: &P, in_flight: usize) -> anyhow::Result<Load> {
    client.block_on(async { tokio::spawn(load(vec![peer.clone(); in_flight], WARM_UP, SPAN)).await? })
}
