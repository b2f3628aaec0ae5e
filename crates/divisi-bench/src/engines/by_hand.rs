//! The engines used by hand, as well as one can: what saturation is measured against.
//!
//! A transaction appends a batch of events to a table with a serial id. Twelve workers, each with a share of the keys and a
//! connection, take up to a hundred of them, from the table or from the broker, and write a row for each and how far they are in one
//! transaction, whose statements are all sent before the first answer. What a broker loses is lost, positions are not dense, nobody looks
//! for gaps, and nothing goes on after a crash where it was: it is what carries the load of a system that does.
//!
//! To a broker a relay brings them, out of the table: who publishes from memory after COMMIT loses all that it has not published when it
//! dies, and is measured too. Where the table is read, by workers or by the relay, sellers append one after the other: else whoever has seen
//! one id never comes back for a lower one that is committed later.

mod broker;
mod relay;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context as _, ensure};
use async_nats::jetstream::consumer::pull;
use broker::{Broker, Outgoing};
use divisi::Event as _;
use divisi::contract::event::lane_of;
use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use relay::Relay;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};
use tokio_postgres::{Client, NoTls, Statement};

use super::place::{By, CONSUMERS, Servers};
use crate::events::sale::{self, HEAR, Sold};
use crate::runtime::Owned;

/// A trace, as long as that of Divisi's own rows.
pub(super) const HEADERS: &str =
    r#"{"traceparent":"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}"#;
/// Events of one transaction of a worker at the most, as of a consumer's.
const BATCH: usize = 100;

/// An event on its way to its worker.
type Payload = Vec<u8>;

/// Statements are sent one by one, or all before the first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statements {
    /// As one writes it.
    Awaited,
    /// As one writes it when it has to be fast.
    Pipelined,
}

/// A shop and a listener by hand.
pub(super) struct ByHand {
    spread: Arc<Spread>,
    url: String,
    applied: Arc<AtomicI64>,
    _tasks: Vec<Owned>,
}

/// Connects; the connection ends with its client.
pub(super) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Who publishes, where there is a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publishing {
    /// A relay, out of the table.
    Relayed,
    /// The seller, after COMMIT.
    FromMemory,
}

/// What brings events from the shop to the workers.
struct Spread {
    way: Way,
    /// One appends at a time, where the table is read by its ids.
    appending: tokio::sync::Mutex<()>,
}

enum Way {
    /// Workers look when something was appended.
    Log(Vec<Notify>),
    /// The relay does.
    Relayed(Broker, Notify),
    FromMemory(Broker),
}

/// Where a worker takes events from.
enum Source {
    Log { client: Client, page: Statement, spread: Arc<Spread>, worker: usize, at: i64 },
    Nats(Box<pull::Stream>),
    Kafka(mpsc::Receiver<Payload>),
}

impl ByHand {
    pub(super) fn open(
        runtime: &Runtime,
        servers: &Servers,
        by: By,
        statements: Statements,
        publishing: Publishing,
    ) -> anyhow::Result<ByHand> {
        runtime.block_on(ByHand::begin(runtime, servers, by, statements, publishing))
    }

    async fn begin(
        runtime: &Runtime,
        servers: &Servers,
        by: By,
        statements: Statements,
        publishing: Publishing,
    ) -> anyhow::Result<ByHand> {
        let name = format!("{by:?}_{statements:?}_{publishing:?}").to_lowercase();
        let spread = Arc::new(Spread::open(servers, by, publishing, &name).await?);
        let url = servers.database(&format!("raw_shop_{name}")).await?;
        let shop = connect(&url).await?;
        // As it is read: by each worker, or by the relay.
        let key = if by == By::Log { "worker, id" } else { "id" };
        shop.batch_execute(&format!(
            "CREATE TABLE outbox (id BIGINT GENERATED ALWAYS AS IDENTITY, worker INT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, \
             payload BYTEA NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY ({key}))"
        ))
        .await?;
        let heard = servers.database(&format!("raw_listener_{name}")).await?;
        let listener = connect(&heard).await?;
        listener.batch_execute(sale::LISTENER.postgres.context("tables of PostgreSQL")?).await?;
        listener
            .batch_execute(
                "CREATE TABLE mark (worker INT PRIMARY KEY, at BIGINT NOT NULL) WITH (fillfactor = 20); \
                 INSERT INTO mark SELECT n, 0 FROM generate_series(0, 63) AS n",
            )
            .await?;
        let mut sources = Vec::new();
        let mut tasks = Vec::new();
        match &spread.way {
            Way::Log(_) => {
                for worker in 0..CONSUMERS {
                    let client = connect(&url).await?;
                    let page = format!(
                        "SELECT id, payload FROM outbox WHERE worker = {worker} AND id > $1 ORDER BY id LIMIT {BATCH}"
                    );
                    let page = client.prepare(&page).await?;
                    sources.push(Source::Log { client, page, spread: Arc::clone(&spread), worker, at: 0 });
                }
            }
            Way::FromMemory(broker) => sources = broker.sources(servers).await?,
            Way::Relayed(broker, _) => {
                sources = broker.sources(servers).await?;
                let relay = Relay::open(&url, Arc::clone(&spread)).await?;
                tasks.push(Owned::spawn(runtime, async move {
                    if let Err(error) = relay.run().await {
                        eprintln!("the relay by hand has ended: {error:#}");
                    }
                }));
            }
        }
        let applied = Arc::new(AtomicI64::new(0));
        for (worker, source) in sources.into_iter().enumerate() {
            let listener = Worker::open(&heard, worker as i32, statements, Arc::clone(&applied)).await?;
            tasks.push(Owned::spawn(runtime, async move {
                if let Err(error) = listener.work(source).await {
                    eprintln!("a worker by hand has ended: {error:#}");
                }
            }));
        }
        Ok(ByHand { spread, url, applied, _tasks: tasks })
    }

    /// How many events have taken effect.
    pub(super) fn applied(&self) -> i64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// One who appends.
    pub(super) async fn seller(&self) -> anyhow::Result<Seller> {
        let client = connect(&self.url).await?;
        let append = "INSERT INTO outbox (worker, key, headers, payload) SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[])";
        let append = client.prepare(append).await?;
        Ok(Seller { client, append, spread: Arc::clone(&self.spread) })
    }
}

/// Appends, and publishes what it has appended if nobody else does.
pub(super) struct Seller {
    client: Client,
    append: Statement,
    spread: Arc<Spread>,
}

impl Seller {
    /// One transaction.
    pub(super) async fn sell(&self, events: &[Sold]) -> anyhow::Result<()> {
        let keys: Vec<String> = events.iter().map(|sold| sold.key().into_owned()).collect();
        let workers: Vec<i32> = keys.iter().map(|key| i32::from(lane_of(key, CONSUMERS as u16))).collect();
        let payloads = events.iter().map(serde_json::to_vec).collect::<Result<Vec<Payload>, _>>()?;
        let headers = vec![HEADERS; events.len()];
        let alone = match &self.spread.way {
            Way::Log(_) | Way::Relayed(..) => Some(self.spread.appending.lock().await),
            Way::FromMemory(_) => None,
        };
        self.client.execute(&self.append, &[&workers, &keys, &headers, &payloads]).await?;
        drop(alone);
        match &self.spread.way {
            Way::Log(waiting) => {
                for (worker, waiting) in waiting.iter().enumerate() {
                    if workers.contains(&(worker as i32)) {
                        waiting.notify_one();
                    }
                }
            }
            Way::Relayed(_, waiting) => waiting.notify_one(),
            Way::FromMemory(broker) => {
                let events = payloads.into_iter().zip(keys).zip(workers);
                let outgoing =
                    events.map(|((payload, key), worker)| Outgoing { id: None, worker, key, payload });
                broker.publish(outgoing.collect()).await?;
            }
        }
        Ok(())
    }
}

impl Spread {
    async fn open(servers: &Servers, by: By, publishing: Publishing, name: &str) -> anyhow::Result<Spread> {
        let topic = format!("raw-{}", name.replace('_', "-"));
        let way = match (by, publishing) {
            (By::Log, _) => Way::Log((0..CONSUMERS).map(|_| Notify::new()).collect()),
            (_, Publishing::Relayed) => Way::Relayed(Broker::open(servers, by, topic).await?, Notify::new()),
            (_, Publishing::FromMemory) => Way::FromMemory(Broker::open(servers, by, topic).await?),
        };
        Ok(Spread { way, appending: Default::default() })
    }
}

impl Source {
    /// What there is, a batch at the most; waits for the first.
    async fn take(&mut self) -> anyhow::Result<Vec<Payload>> {
        match self {
            Source::Log { client, page, spread, worker, at } => loop {
                let rows = client.query(&*page, &[&*at]).await?;
                if let Some(last) = rows.last() {
                    *at = last.try_get(0)?;
                    return rows.iter().map(|row| Ok(row.try_get(1)?)).collect();
                }
                if let Way::Log(waiting) = &spread.way {
                    waiting.get(*worker).context("a worker beyond the last")?.notified().await;
                }
            },
            Source::Nats(messages) => {
                let first = messages.next().await.context("the subscription is over")??;
                let mut taken = vec![first.payload.to_vec()];
                while taken.len() < BATCH
                    && let Some(Some(message)) = messages.next().now_or_never()
                {
                    taken.push(message?.payload.to_vec());
                }
                Ok(taken)
            }
            Source::Kafka(messages) => {
                let mut taken = vec![messages.recv().await.context("the subscription is over")?];
                while taken.len() < BATCH
                    && let Ok(payload) = messages.try_recv()
                {
                    taken.push(payload);
                }
                Ok(taken)
            }
        }
    }
}

/// One that applies.
struct Worker {
    client: Client,
    hear: Statement,
    mark: Statement,
    worker: i32,
    statements: Statements,
    applied: Arc<AtomicI64>,
}

impl Worker {
    async fn open(
        url: &str,
        worker: i32,
        statements: Statements,
        applied: Arc<AtomicI64>,
    ) -> anyhow::Result<Worker> {
        let client = connect(url).await?;
        let hear = client.prepare(HEAR).await?;
        let mark = client.prepare("UPDATE mark SET at = at + $2 WHERE worker = $1").await?;
        Ok(Worker { client, hear, mark, worker, statements, applied })
    }

    async fn work(self, mut source: Source) -> anyhow::Result<()> {
        loop {
            let taken = source.take().await?;
            let events: Vec<Sold> = taken
                .into_iter()
                .map(|payload| serde_json::from_slice(&payload).context("an event that cannot be read"))
                .collect::<Result<_, _>>()?;
            self.apply(&events).await?;
            self.applied.fetch_add(events.len() as i64, Ordering::Relaxed);
        }
    }

    async fn apply(&self, events: &[Sold]) -> anyhow::Result<()> {
        let n = events.len() as i64;
        let shelves: Vec<i64> = events.iter().map(|sold| sold.shelf as i64).collect();
        if self.statements == Statements::Awaited {
            self.client.batch_execute("BEGIN").await?;
            for (sold, shelf) in events.iter().zip(&shelves) {
                self.client.execute(&self.hear, &[shelf, &sold.note]).await?;
            }
            self.client.execute(&self.mark, &[&self.worker, &n]).await?;
            return Ok(self.client.batch_execute("COMMIT").await?);
        }
        // Polled in this order, and what is polled first is sent first.
        let mut sent: FuturesOrdered<_> = FuturesOrdered::new();
        sent.push_back(self.client.batch_execute("BEGIN").map(|done| done.map(|()| 0)).boxed());
        for (sold, shelf) in events.iter().zip(&shelves) {
            sent.push_back(
                async move { self.client.execute(&self.hear, &[shelf, &sold.note]).await }.boxed(),
            );
        }
        sent.push_back(async { self.client.execute(&self.mark, &[&self.worker, &n]).await }.boxed());
        sent.push_back(self.client.batch_execute("COMMIT").map(|done| done.map(|()| 0)).boxed());
        let changed: u64 = sent.collect::<Vec<_>>().await.into_iter().sum::<Result<u64, _>>()?;
        ensure!(changed == events.len() as u64 + 1, "{changed} rows for {n} events");
        Ok(())
    }
}
