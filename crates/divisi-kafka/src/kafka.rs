//! The carrier.

use std::collections::HashMap;
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
    topics: Mutex<HashMap<Topic, Known>>,
    looks: Rounds<bool>,
    heads: Rounds<Arc<Heads>>,
}

/// What is known of a topic.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// It is as it should be.
    sound: bool,
    /// It was deleted and made anew, and its relay does not know yet.
    anew: bool,
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
            topics: Mutex::default(),
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

    /// The topic, made or looked at unless it was found sound, and there is no doubt about it since.
    async fn sound(&self, topic: &str) -> Result<Topic, CarrierError> {
        let topic = Topic::named(&self.options.prefix, topic)?;
        let known = self.lock().get(&topic).copied();
        if known.is_some_and(|known| known.sound) {
            return Ok(topic);
        }
        let (options, asked) = (Arc::clone(&self.options), topic.clone());
        let made = self.looks.ask(&topic.events, move || topic::ensure(&options, &asked)).await?;
        let anew = made && known.is_some();
        if anew {
            self.publisher.begin_anew();
        }
        let mut topics = self.lock();
        let known = topics.entry(topic.clone()).or_default();
        known.sound = true;
        known.anew |= anew;
        drop(topics);
        Ok(topic)
    }

    /// Something is wrong with it: it is looked at again before it is used.
    fn doubt(&self, topic: &Topic) {
        self.lock().entry(topic.clone()).or_default().sound = false;
    }

    /// Whether it is a new one of a name that was known. It stays so until somebody asks for its heads: only a relay
    /// that does goes on at the right place.
    fn is_anew(&self, topic: &Topic) -> bool {
        self.lock().get(topic).is_some_and(|known| known.anew)
    }

    fn reader(&self, source: &ServiceName, topic: &str) -> Reader {
        Reader::new(self.mapping.clone(), source.clone(), topic.into())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, Known>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
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
                Ok(topic) if !self.is_anew(&topic) => topic,
                Ok(topic) => {
                    let words = format!("the topic `{}` was deleted, and is made anew", topic.events);
                    return records.iter().map(|_| Err(PublishError::Forgotten(words.clone()))).collect();
                }
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
            // Whoever asks goes on from the answer: what it knew of the topic before is of no use.
            self.lock().entry(named.clone()).or_default().anew = false;
            self.publisher.forget(&named.events);
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

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("options", &self.options).finish_non_exhaustive()
    }
}
