//! The engines used by hand, as well as one can: what saturation is measured against.
//!
//! A transaction appends a batch of events to a table with a serial id. Twelve workers, each with a share of the keys and a
//! connection, take up to a hundred of them, from the table or from the broker, and write a row for each and how far they are in one
//! transaction, whose statements are all sent before the first answer. Nothing here survives a crash at the wrong moment: positions
//! are not dense, what a broker loses is lost, and nobody looks for it. Where the table itself is read, sellers append one after the
//! other: else a worker that has seen one id never comes back for a lower one that is committed later.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use divisi::Event as _;
use divisi::contract::event::lane_of;
use futures_util::future::{FutureExt as _, try_join_all};
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
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
const TOPIC: &str = "raw";

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

/// What brings events from the shop to the workers.
enum Spread {
    /// They look when something was appended; one appends at a time.
    Log(Vec<Notify>, tokio::sync::Mutex<()>),
    Nats(jetstream::Context),
    Kafka(FutureProducer),
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
    ) -> anyhow::Result<ByHand> {
        runtime.block_on(ByHand::begin(runtime, servers, by, statements))
    }

    async fn begin(
        runtime: &Runtime,
        servers: &Servers,
        by: By,
        statements: Statements,
    ) -> anyhow::Result<ByHand> {
        let name = format!("{by:?}_{statements:?}").to_lowercase();
        let url = servers.database(&format!("raw_shop_{name}")).await?;
        let shop = connect(&url).await?;
        shop.batch_execute(
            "CREATE TABLE outbox (id BIGINT GENERATED ALWAYS AS IDENTITY, worker INT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, \
             payload BYTEA NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (worker, id))",
        )
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
        let topic = format!("{TOPIC}-{}", name.replace('_', "-"));
        let spread = Arc::new(Spread::open(servers, by, &topic).await?);
        let mut sources = Vec::new();
        match &*spread {
            Spread::Log(..) => {
                for worker in 0..CONSUMERS {
                    let client = connect(&url).await?;
                    let page = format!(
                        "SELECT id, payload FROM outbox WHERE worker = {worker} AND id > $1 ORDER BY id LIMIT {BATCH}"
                    );
                    let page = client.prepare(&page).await?;
                    sources.push(Source::Log { client, page, spread: Arc::clone(&spread), worker, at: 0 });
                }
            }
            Spread::Nats(jetstream) => sources = nats_sources(jetstream, &topic).await?,
            Spread::Kafka(_) => sources = kafka_sources(servers, &topic)?,
        }
        let applied = Arc::new(AtomicI64::new(0));
        let mut tasks = Vec::new();
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
        Ok(Seller { client, append, spread: Arc::clone(&self.spread), topic: self.topic() })
    }

    fn topic(&self) -> String {
        let name = self.url.rsplit_once("raw_shop_").map_or("", |(_, name)| name);
        format!("{TOPIC}-{}", name.replace('_', "-"))
    }
}

/// Appends, and publishes what it has appended.
pub(super) struct Seller {
    client: Client,
    append: Statement,
    spread: Arc<Spread>,
    topic: String,
}

impl Seller {
    /// One transaction.
    pub(super) async fn sell(&self, events: &[Sold]) -> anyhow::Result<()> {
        let keys: Vec<String> = events.iter().map(|sold| sold.key().into_owned()).collect();
        let workers: Vec<i32> = keys.iter().map(|key| i32::from(lane_of(key, CONSUMERS as u16))).collect();
        let payloads = events.iter().map(serde_json::to_vec).collect::<Result<Vec<Payload>, _>>()?;
        let headers = vec![HEADERS; events.len()];
        let alone = match &*self.spread {
            Spread::Log(_, appending) => Some(appending.lock().await),
            Spread::Nats(_) | Spread::Kafka(_) => None,
        };
        self.client.execute(&self.append, &[&workers, &keys, &headers, &payloads]).await?;
        drop(alone);
        match &*self.spread {
            Spread::Log(waiting, _) => {
                for (worker, waiting) in waiting.iter().enumerate() {
                    if workers.contains(&(worker as i32)) {
                        waiting.notify_one();
                    }
                }
            }
            Spread::Nats(jetstream) => {
                let mut acknowledged = Vec::with_capacity(payloads.len());
                for (payload, worker) in payloads.into_iter().zip(&workers) {
                    acknowledged
                        .push(jetstream.publish(format!("{}.{worker}", self.topic), payload.into()).await?);
                }
                for acknowledged in acknowledged {
                    acknowledged.await?;
                }
            }
            Spread::Kafka(producer) => {
                let mut acknowledged = Vec::with_capacity(payloads.len());
                for ((payload, key), worker) in payloads.iter().zip(&keys).zip(&workers) {
                    let record = FutureRecord::to(&self.topic).partition(*worker).key(key).payload(payload);
                    acknowledged.push(producer.send_result(record).map_err(|(error, _)| error)?);
                }
                for delivered in try_join_all(acknowledged).await? {
                    delivered.map_err(|(error, _)| error)?;
                }
            }
        }
        Ok(())
    }
}

impl Spread {
    async fn open(servers: &Servers, by: By, topic: &str) -> anyhow::Result<Spread> {
        Ok(match by {
            By::Log => Spread::Log((0..CONSUMERS).map(|_| Notify::new()).collect(), Default::default()),
            By::Nats => {
                let jetstream = jetstream::new(async_nats::connect(servers.nats.url()).await?);
                let subjects = vec![format!("{topic}.*")];
                let config =
                    jetstream::stream::Config { name: topic.to_owned(), subjects, ..Default::default() };
                jetstream.create_stream(config).await?;
                Spread::Nats(jetstream)
            }
            By::Kafka => {
                let admin: AdminClient<DefaultClientContext> = kafka_config(servers).create()?;
                let topic = NewTopic::new(topic, CONSUMERS as i32, TopicReplication::Fixed(1));
                let made = admin.create_topics([&topic], &AdminOptions::new()).await?;
                ensure!(made.iter().all(Result::is_ok), "the topic was not made: {made:?}");
                let mut config = kafka_config(servers);
                config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "1");
                config.set("compression.type", "lz4");
                Spread::Kafka(config.create()?)
            }
        })
    }
}

fn kafka_config(servers: &Servers) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers.kafka.url());
    config
}

async fn nats_sources(jetstream: &jetstream::Context, topic: &str) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for worker in 0..CONSUMERS {
        let filter_subject = format!("{topic}.{worker}");
        let config = pull::Config { filter_subject, ack_policy: AckPolicy::None, ..Default::default() };
        let consumer = jetstream.create_consumer_on_stream(config, topic).await?;
        let messages = consumer.stream().max_messages_per_batch(4 * BATCH).messages().await?;
        sources.push(Source::Nats(Box::new(messages)));
    }
    Ok(sources)
}

/// One client, and a task that hands messages to their workers.
fn kafka_sources(servers: &Servers, topic: &str) -> anyhow::Result<Vec<Source>> {
    let mut config = kafka_config(servers);
    config.set("group.id", TOPIC).set("enable.auto.commit", "false");
    let client: StreamConsumer = config.create()?;
    let mut assigned = TopicPartitionList::new();
    for worker in 0..CONSUMERS {
        assigned.add_partition_offset(topic, worker as i32, Offset::Beginning)?;
    }
    client.assign(&assigned)?;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..CONSUMERS).map(|_| mpsc::channel(4 * BATCH)).unzip();
    tokio::spawn(async move {
        while let Ok(message) = client.recv().await {
            let Some(sender) = senders.get(message.partition() as usize) else { continue };
            let payload = message.payload().unwrap_or_default().to_vec();
            if sender.send(payload).await.is_err() {
                return;
            }
        }
    });
    Ok(receivers.into_iter().map(Source::Kafka).collect())
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
                if let Spread::Log(waiting, _) = &**spread {
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
