//! A broker by hand: one subject or partition a worker.

use anyhow::ensure;
use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::future::try_join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::{BATCH, Payload, Source};
use crate::engines::place::{By, CONSUMERS, Servers};

/// A stream or a topic of its own.
pub(super) struct Broker {
    client: Client,
    topic: String,
}

enum Client {
    Nats(Box<jetstream::Context>),
    Kafka(FutureProducer),
}

/// An event on its way to the broker.
pub(super) struct Outgoing {
    /// By which the broker drops what a relay publishes twice, if it can.
    pub(super) id: Option<i64>,
    pub(super) worker: i32,
    pub(super) key: String,
    pub(super) payload: Payload,
}

impl Broker {
    pub(super) async fn open(servers: &Servers, by: By, topic: String) -> anyhow::Result<Broker> {
        let client = match by {
            By::Log => anyhow::bail!("the log is no broker"),
            By::Nats => {
                let jetstream = jetstream::new(async_nats::connect(servers.nats.url()).await?);
                let subjects = vec![format!("{topic}.*")];
                let config =
                    jetstream::stream::Config { name: topic.clone(), subjects, ..Default::default() };
                jetstream.create_stream(config).await?;
                Client::Nats(Box::new(jetstream))
            }
            By::Kafka => {
                let admin: AdminClient<DefaultClientContext> = kafka_config(servers).create()?;
                let topic = NewTopic::new(&topic, CONSUMERS as i32, TopicReplication::Fixed(1));
                let made = admin.create_topics([&topic], &AdminOptions::new()).await?;
                ensure!(made.iter().all(Result::is_ok), "the topic was not made: {made:?}");
                let mut config = kafka_config(servers);
                config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "1");
                config.set("compression.type", "lz4");
                Client::Kafka(config.create()?)
            }
        };
        Ok(Broker { client, topic })
    }

    /// Sends all of them, then waits until the broker has acknowledged each.
    pub(super) async fn publish(&self, events: Vec<Outgoing>) -> anyhow::Result<()> {
        match &self.client {
            Client::Nats(jetstream) => {
                let mut acknowledged = Vec::with_capacity(events.len());
                for Outgoing { id, worker, payload, .. } in events {
                    let subject = format!("{}.{worker}", self.topic);
                    acknowledged.push(match id {
                        Some(id) => {
                            let mut headers = HeaderMap::new();
                            headers.insert(async_nats::header::NATS_MESSAGE_ID, id.to_string());
                            jetstream.publish_with_headers(subject, headers, payload.into()).await?
                        }
                        None => jetstream.publish(subject, payload.into()).await?,
                    });
                }
                for acknowledged in acknowledged {
                    acknowledged.await?;
                }
            }
            Client::Kafka(producer) => {
                let mut acknowledged = Vec::with_capacity(events.len());
                for Outgoing { worker, key, payload, .. } in &events {
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

    /// What each worker reads.
    pub(super) async fn sources(&self, servers: &Servers) -> anyhow::Result<Vec<Source>> {
        match &self.client {
            Client::Nats(jetstream) => nats_sources(jetstream, &self.topic).await,
            Client::Kafka(_) => kafka_sources(servers, &self.topic),
        }
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
    config.set("group.id", topic).set("enable.auto.commit", "false");
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
