//! What a transaction with an event costs, beside the same rows with an outbox whose ids a sequence gives.
//!
//! That outbox is what one finds in most code, and it is not safe: a reader that has seen id 8 never comes back for 7,
//! whose transaction committed later. It is the price of being right that is measured.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use divisi::contract::event::{LANES, lane_of};
use divisi::{Context, Event as _, Store};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_postgres::{Client, Statement};

use super::by_hand::{HEADERS, connect};
use super::place::{CONNECTIONS, Servers, open};
use crate::events::commits::sell;
use crate::events::sale::{self, SELL, SHELVES, Sold};
use crate::load::{Load, Peer, load};
use crate::report::{Aim, Report};

const ROUNDS: usize = 5;
const WRITERS: [u64; 2] = [8, 64];
const WARM_UP: Duration = Duration::from_millis(500);
const SPAN: Duration = Duration::from_secs(2);
const LEAST: f64 = 0.75;

/// Measures both in turn.
pub(super) fn measure(runtime: &Runtime, servers: &Servers, report: &mut Report) -> anyhow::Result<()> {
    report.condition(format!(
        "transactions: one UPDATE and one event of some 300 bytes, {CONNECTIONS} connections each; beside it the same rows with a serial outbox, \
         which loses events, statements awaited one by one; {ROUNDS} rounds in turn of {SPAN:?}"
    ));
    let store = runtime.block_on(open(servers, "shop", "transactions", &sale::shop()))?;
    let serial = runtime.block_on(Serial::open(servers))?;
    for writers in WRITERS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let cx = Context::root("bench");
            let shelves = (0..writers).map(|n| n * SHELVES / writers);
            let divisi =
                shelves.clone().map(|shelf| Divisi { store: store.clone(), cx: cx.clone(), shelf }).collect();
            ours.push(one(runtime, divisi)?);
            let hand = shelves.map(|shelf| Hand { serial: Arc::clone(&serial), shelf }).collect();
            theirs.push(one(runtime, hand)?);
        }
        let of = |loads: &[Load], what: fn(&Load) -> f64| loads.iter().map(what).collect::<Vec<f64>>();
        for (name, loads) in [("divisi", &ours), ("serial outbox", &theirs)] {
            report.figure(
                format!("transactions, {writers} writers, {name}"),
                "tx/s",
                &of(loads, |load| load.rate),
            );
            report.figure(
                format!("transactions, {writers} writers, {name}, p99"),
                "µs",
                &of(loads, |load| load.p99),
            );
        }
        let (ours, theirs) = (of(&ours, |load| load.rate), of(&theirs, |load| load.rate));
        report.ratio(
            format!("transactions ÷ serial outbox, {writers} writers"),
            &ours,
            &theirs,
            Aim::AtLeast(LEAST),
        );
    }
    Ok(())
}

fn one<P: Peer>(runtime: &Runtime, writers: Vec<P>) -> anyhow::Result<Load> {
    runtime.block_on(async { tokio::spawn(load(writers, WARM_UP, SPAN)).await? })
}

#[derive(Clone)]
struct Divisi {
    store: Store,
    cx: Context,
    shelf: u64,
}

impl Peer for Divisi {
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.shelf = (self.shelf + 1) % SHELVES;
        let sold = Sold::new(self.shelf, 0);
        sell(&self.store, &self.cx, sold).await.map_err(|error| anyhow!("{error:?}"))
    }
}

/// As many connections, and an outbox with a serial id.
struct Serial {
    free: Semaphore,
    connections: Mutex<Vec<Connection>>,
}

struct Connection {
    client: Client,
    sell: Statement,
    append: Statement,
}

impl Serial {
    async fn open(servers: &Servers) -> anyhow::Result<Arc<Serial>> {
        let url = servers.database("shop_serial").await?;
        let first = connect(&url).await?;
        first.batch_execute(sale::SHOP.postgres.context("tables of PostgreSQL")?).await?;
        first
            .batch_execute(
                "CREATE TABLE outbox (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic TEXT NOT NULL, lane INT NOT NULL, \
                 type TEXT NOT NULL, schema_v INT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, payload BYTEA NOT NULL, \
                 at TIMESTAMPTZ NOT NULL DEFAULT now())",
            )
            .await?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = connect(&url).await?;
            let sell = client.prepare(SELL).await?;
            let append = "INSERT INTO outbox (topic, lane, type, schema_v, key, headers, payload) VALUES ($1, $2, $3, $4, $5, $6, $7)";
            let append = client.prepare(append).await?;
            connections.push(Connection { client, sell, append });
        }
        Ok(Arc::new(Serial { free: Semaphore::new(CONNECTIONS), connections: Mutex::new(connections) }))
    }

    async fn sell(&self, sold: &Sold) -> anyhow::Result<()> {
        let _free = self.free.acquire().await?;
        let taken = self.connections.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = taken.context("a permit without a connection")?;
        let done = connection.sell(sold).await;
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        done
    }
}

impl Connection {
    async fn sell(&mut self, sold: &Sold) -> anyhow::Result<()> {
        let tx = self.client.transaction().await?;
        tx.execute(&self.sell, &[&(sold.shelf as i64)]).await?;
        let (key, payload) = (sold.key(), serde_json::to_vec(sold)?);
        let lane = i32::from(lane_of(&key, LANES));
        let version = Sold::VERSION as i32;
        tx.execute(&self.append, &[&Sold::TOPIC, &lane, &Sold::NAME, &version, &&*key, &HEADERS, &payload])
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

#[derive(Clone)]
struct Hand {
    serial: Arc<Serial>,
    shelf: u64,
}

impl Peer for Hand {
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.shelf = (self.shelf + 1) % SHELVES;
        self.serial.sell(&Sold::new(self.shelf, 0)).await
    }
}
