//! The carrier.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use divisi_call::BoxFuture;
use divisi_contract::ServiceName;
use divisi_events::carrier::{Arrivals, Carrier, CarrierError, Head, Hint, PublishError};
use divisi_events::cloud_event::CloudEvents;
use divisi_store::{Epochs, Lane, Pos, Record};

use crate::arrivals;
use crate::client;
use crate::elsewhere::blocking;
use crate::error::{SetupError, not_published};
use crate::heads::{self, Heads};
use crate::incoming::{Reader, place_of};
use crate::options::Options;
use crate::place::{NAME, partition_of};
use crate::publisher::{Publisher, Sent};
use crate::rounds::{Join, Rounds};
use crate::topic::{self, Topic};

/// Kafka as a carrier of events. Share it: what publishes is one client.
///
/// An event's topic is a topic of the same name, behind the prefix; lane *n* is in partition *n* modulo their number,
/// the record's key is the event's key, and headers say the position, as CloudEvents has it. What a source says of
/// itself is in a topic beside it, `<topic>.beacons`.
///
/// Kafka has no fence that a relay could use: two relays that both believe to lead both publish. The watermarks of
/// the consumers are what keeps that harmless. It is not used for consumer groups nor transactions either.
pub struct Kafka {
    options: Arc<Options>,
    mapping: CloudEvents,
    publisher: Publisher,
    /// Topics that were found as they should be.
    sound: Mutex<HashSet<Topic>>,
    looks: Rounds<bool>,
    heads: Rounds<Arc<Heads>>,
}

impl Kafka {
    /// Sets it up, without asking anybody: a cluster that is away is found when it is back.
    ///
    /// Fails when the options contradict each other, need what this build does not have, or are not taken by
    /// librdkafka.
    pub fn new(options: Options) -> Result<Kafka, SetupError> {
        options.check()?;
        for config in [client::asking(&options), client::publishing(&options), client::reading(&options)] {
            config.create_native_config().map_err(SetupError::Client)?;
        }
        let options = Arc::new(options);
        Ok(Kafka {
            mapping: CloudEvents::kafka(&*options.app),
            publisher: Publisher::new(Arc::clone(&options)),
            options,
            sound: Mutex::default(),
            looks: Rounds::new(Join::Running),
            heads: Rounds::new(Join::Waiting),
        })
    }

    /// Waits until nothing is on its way to Kafka, at most as long as a publish may take, and closes what publishes.
    ///
    /// Subscriptions end when they are dropped. Dropped without this, a client throws away what it has not sent; its
    /// relay publishes that again.
    pub async fn close(&self) {
        self.publisher.close().await;
    }

    /// The topic, made or looked at unless it was found sound before.
    async fn sound(&self, topic: &str) -> Result<Topic, CarrierError> {
        let topic = Topic::named(&self.options.prefix, topic)?;
        if self.lock().contains(&topic) {
            return Ok(topic);
        }
        let (options, asked) = (Arc::clone(&self.options), topic.clone());
        let made = self.looks.ask(&topic.events, move || topic::ensure(&options, &asked)).await?;
        if self.lock().insert(topic.clone()) && made {
            // Made anew after it was deleted: a client that knows the old one would go on counting.
            self.publisher.renew();
        }
        Ok(topic)
    }

    /// Something is wrong with it: it is looked at again before it is used.
    fn doubt(&self, topic: &Topic) {
        self.lock().remove(topic);
    }

    fn reader(&self, source: &ServiceName, topic: &str) -> Reader {
        Reader::new(self.mapping.clone(), source.clone(), topic.into())
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Topic>> {
        self.sound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier for Kafka {
    fn name(&self) -> &str {
        NAME
    }

    fn publish<'a>(
        &'a self,
        _source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
        records: &'a [Arc<Record>],
        _fence: Option<u64>,
    ) -> BoxFuture<'a, Vec<Result<Hint, PublishError>>> {
        Box::pin(async move {
            let topic = match self.sound(topic).await {
                Ok(topic) => topic,
                Err(failed) => {
                    let failed = not_published(failed);
                    return records.iter().map(|_| Err(failed.clone())).collect();
                }
            };
            let sent =
                |record: &'a Arc<Record>| Sent { key: &record.key, message: self.mapping.record(record) };
            let partition = partition_of(lane, self.options.partitions);
            let outcomes =
                self.publisher.publish(&topic.events, partition, records.iter().map(sent).collect()).await;
            if outcomes.iter().any(Result::is_err) {
                self.doubt(&topic);
            }
            let hint = |(record, outcome): (&Arc<Record>, Result<(i32, i64), PublishError>)| {
                outcome.map(|(partition, offset)| place_of(record, partition, offset).hint(&topic.events))
            };
            records.iter().zip(outcomes).map(hint).collect()
        })
    }

    fn beacon<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        epochs: &'a Epochs,
        heads: &'a [(Lane, Pos)],
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            let named = self.sound(topic).await.map_err(not_published)?;
            let message = self.mapping.beacon(source, topic, epochs, heads);
            let sent = vec![Sent { key: source.as_str(), message }];
            let outcome = self.publisher.publish(&named.beacons, 0, sent).await.pop();
            let outcome =
                outcome.unwrap_or_else(|| Err(PublishError::NotAcknowledged("no outcome".to_owned())));
            outcome.map(drop).inspect_err(|_| self.doubt(&named))
        })
    }

    fn head<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
    ) -> BoxFuture<'a, Result<Head, CarrierError>> {
        Box::pin(async move {
            let named = self.sound(topic).await?;
            let about = format!("{source}/{topic}");
            let (options, reader) = (Arc::clone(&self.options), self.reader(source, topic));
            let asked = named.clone();
            let looked =
                self.heads.ask(&about, move || heads::look(&options, &asked.events, &reader).map(Arc::new));
            looked.await.map(|heads| heads.of(lane)).inspect_err(|_| self.doubt(&named))
        })
    }

    fn read<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        from: Vec<(Lane, Option<Hint>)>,
    ) -> BoxFuture<'a, Result<Box<dyn Arrivals>, CarrierError>> {
        Box::pin(async move {
            let named = self.sound(topic).await?;
            // It may be what a subscription ended for: the next one looks.
            self.doubt(&named);
            let (options, reader) = (Arc::clone(&self.options), self.reader(source, topic));
            let begun = blocking(move || arrivals::begin(&options, named, reader, &from)).await?;
            Ok(Box::new(begun) as Box<dyn Arrivals>)
        })
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.publisher.renew();
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("options", &self.options).finish_non_exhaustive()
    }
}
