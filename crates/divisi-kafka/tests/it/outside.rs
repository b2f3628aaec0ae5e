//! A topic as a stranger sees it, through nothing of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::broker::Broker;

const WITHIN: Duration = Duration::from_secs(10);

/// A record as it lies on Kafka.
#[derive(Debug)]
pub(crate) struct Lying {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl<G> Broker<G> {
    /// Everything that a topic holds.
    pub(crate) async fn holds(&self, topic: &str) -> Vec<Lying> {
        let (config, topic) = (self.client(), self.topic(topic));
        tokio::task::spawn_blocking(move || holds(config, &topic)).await.expect("it is read")
    }

    /// The positions that a topic holds, by lane.
    pub(crate) async fn positions(&self, topic: &str) -> BTreeMap<u16, BTreeSet<i64>> {
        let mut positions: BTreeMap<u16, BTreeSet<i64>> = BTreeMap::new();
        for lying in self.holds(topic).await {
            let number = |name: &str| lying.headers[name].parse::<i64>().expect("a number");
            let lane = u16::try_from(number("ce_divisilane")).expect("a lane");
            positions.entry(lane).or_default().insert(number("ce_sequence"));
        }
        positions
    }

    pub(crate) async fn delete(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let name = self.topic(topic);
        let deleted = admin.delete_topics(&[&name], &AdminOptions::new()).await.expect("asked");
        deleted.into_iter().for_each(|topic| drop(topic.expect("deleted")));
    }

    /// Writes what is no event of ours.
    pub(crate) async fn scribble(&self, topic: &str, partition: i32, payload: &'static [u8]) {
        let producer: BaseProducer = self.client().create().expect("a client");
        let topic = self.topic(topic);
        let wrote = tokio::task::spawn_blocking(move || {
            let record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&topic).partition(partition).payload(payload);
            producer.send(record).expect("taken");
            producer.flush(WITHIN).expect("written");
        });
        wrote.await.expect("written");
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.server.internal_address().to_string());
        config
    }
}

fn holds(mut config: ClientConfig, topic: &str) -> Vec<Lying> {
    config.set("group.id", "stranger").set("enable.partition.eof", "true").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a client");
    let metadata = consumer.fetch_metadata(Some(topic), WITHIN).expect("it is there");
    let n_partitions = metadata.topics()[0].partitions().len();
    let mut from = TopicPartitionList::new();
    for partition in 0..i32::try_from(n_partitions).expect("few") {
        from.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&from).expect("assigned");
    let (mut ended, mut lying) = (0, Vec::new());
    while ended < n_partitions {
        match consumer.poll(WITHIN).expect("it comes in time") {
            Ok(message) => lying.push(read(&message)),
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
        }
    }
    lying
}

fn read(message: &impl Message) -> Lying {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect()
    });
    Lying {
        partition: message.partition(),
        key: text(message.key().unwrap_or_default()),
        headers: headers.unwrap_or_default(),
    }
}
