//! The servers, and a shop and a listener on them.

use std::sync::Arc;

use anyhow::anyhow;
use divisi::Store;
use divisi::events::consumer::Consumer;
use divisi::events::relay::{Leased, Relay};
use divisi::events::{Carrier, Feed, Handlers, Listeners, Log, LogOptions};
use divisi::store::{Lane, Schema, StoreName};
use divisi::{Event as _, contract::event::LANES};
use divisi_servers::{kafka, nats, postgres};
use tokio::runtime::Runtime;

use crate::events::listening::Listening;
use crate::events::sale::{self, Hear, Sold};
use crate::runtime::Owned;

/// How many connections a store has, ours and by hand.
pub(super) const CONNECTIONS: usize = 16;
/// How many of them apply events.
pub(super) const CONSUMERS: usize = 12;

/// What events travel by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Log,
    Nats,
    Kafka,
}

/// Real servers, for one run.
pub(super) struct Servers {
    pub(super) postgres: postgres::Postgres,
    pub(super) nats: nats::Nats,
    pub(super) kafka: kafka::Kafka,
}

/// A shop and a listener, and what lies between.
pub(super) struct Place {
    pub(super) shop: Store,
    listener: Store,
    log: Arc<Log>,
    carrier: Option<Arc<dyn Carrier>>,
    hear: Hear,
    _tasks: Vec<Owned>,
}

impl By {
    pub(super) const ALL: [By; 3] = [By::Log, By::Nats, By::Kafka];

    /// What a reader of the report calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            By::Log => "log",
            By::Nats => "NATS",
            By::Kafka => "Kafka",
        }
    }
}

impl Servers {
    pub(super) async fn start() -> anyhow::Result<Servers> {
        // As a small server is set up; what it promises of a commit is not touched.
        let postgres = postgres::Settings::new()
            .conf("shared_buffers = '512MB'")
            .conf("max_wal_size = '4GB'")
            .conf("fsync = on")
            .conf("synchronous_commit = on")
            .start()
            .await?;
        let nats = nats::Nats::launch().await?;
        // The launcher's settings are made for tests: here the second compiler is wanted too.
        let kafka = kafka::Settings::new().java("-XX:TieredStopAtLevel=4").start().await?;
        Ok(Servers { postgres, nats, kafka })
    }

    /// A new database.
    pub(super) async fn database(&self, name: &str) -> anyhow::Result<String> {
        self.postgres.sql(format!("CREATE DATABASE {name}")).await?;
        Ok(self.postgres.url_for("postgres", "postgres", name))
    }

    /// A broker as a carrier, with streams or topics of its own.
    async fn carrier(&self, by: By, app: &str) -> anyhow::Result<Option<Arc<dyn Carrier>>> {
        Ok(match by {
            By::Log => None,
            By::Nats => {
                let options = divisi_nats::Options::new(app, [self.nats.url()]);
                Some(Arc::new(divisi_nats::Nats::connect(options).await?))
            }
            By::Kafka => {
                let options = divisi_kafka::Options::new(app, self.kafka.url()).alone();
                Some(Arc::new(divisi_kafka::Kafka::new(options)?))
            }
        })
    }
}

impl Place {
    /// New databases; nobody listens yet.
    pub(super) fn open(
        runtime: &Runtime,
        servers: &Servers,
        by: By,
        part: &str,
        hear: Hear,
    ) -> anyhow::Result<Place> {
        let name = format!("{part}_{}", by.name().to_lowercase());
        let carrier = runtime.block_on(servers.carrier(by, &name.replace('_', "-")))?;
        let mut listened = sale::shop();
        if let Some(carrier) = &carrier {
            listened.readers.push((Relay::reader_name(carrier.name()).into(), Sold::TOPIC));
        }
        let shop = runtime.block_on(open(servers, "shop", &name, &listened))?;
        let listener = runtime.block_on(open(servers, "listener", &name, &sale::listener()))?;
        let listeners = Listeners::none().allow(Sold::TOPIC, "listener");
        let log = Log::new(shop.clone(), listeners, LogOptions::default());
        let keeping = Arc::clone(&log);
        let mut tasks = vec![Owned::spawn(runtime, async move { keeping.run().await })];
        if let Some(carrier) = &carrier {
            let lease = Arc::new(Leased::new(shop.clone(), "bench"));
            let (feed, carrier): (Arc<dyn Feed>, _) = (Arc::clone(&log) as _, Arc::clone(carrier));
            let lanes = (0..LANES).map(Lane);
            let relay = Relay::new(shop.clone(), Sold::TOPIC, lanes, feed, carrier, lease);
            tasks.push(Owned::spawn(runtime, relay.run(std::future::pending())));
        }
        Ok(Place { shop, listener, log, carrier, hear, _tasks: tasks })
    }

    /// Starts the consumer; it goes on where the last one stopped.
    pub(super) fn listen(&self, runtime: &Runtime) -> Listening {
        let handlers = Handlers::new().react::<Sold, _>(self.hear.clone());
        let mut consumer = Consumer::new("listener", self.listener.clone(), handlers).from(
            "shop",
            Sold::TOPIC,
            Arc::clone(&self.log) as _,
        );
        if let Some(carrier) = &self.carrier {
            consumer = consumer.via(Arc::clone(carrier));
        }
        Listening::start(runtime, consumer)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.log.close();
    }
}

/// A service's store in a database of its own.
pub(super) async fn open(
    servers: &Servers,
    service: &'static str,
    name: &str,
    schema: &Schema,
) -> anyhow::Result<Store> {
    let url = servers.database(&format!("{service}_{name}")).await?;
    let options = divisi_postgres::Options {
        connections_max: CONNECTIONS,
        connections_of_consumers: CONSUMERS,
        ..divisi_postgres::Options::default()
    };
    let stores = divisi_postgres::Postgres::new(divisi_postgres::Urls::none().with(service, url), options);
    let opened = stores.open_store(&StoreName::of(service), schema).await;
    Ok(opened.map_err(|error| anyhow!("{error}"))?.0)
}
