//! Kafka's topics: what they are called, how they are made, what is looked at before one is used.

mod shape;

use std::time::{Duration, Instant};

use divisi_events::carrier::CarrierError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;
use tracing::info;

use crate::client::{self, Words};
use crate::error;
use crate::options::Options;
use crate::provision::quoted;
use shape::{Found, Shape};

/// What stands behind a topic's name in the name of the topic of its beacons.
const BEACONS: &str = ".beacons";
/// The longest name that Kafka takes.
const NAME_MAX: usize = 249;
/// How often a new topic is looked for until all brokers know it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The names of an event topic on Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Topic {
    /// Where the events are.
    pub(crate) events: String,
    /// Where the source tells of itself: apart, so that strangers get events alone.
    pub(crate) beacons: String,
}

impl Topic {
    pub(crate) fn named(prefix: &str, topic: &str) -> Result<Topic, CarrierError> {
        let events = format!("{prefix}{topic}");
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if events.is_empty() || !events.bytes().all(allowed) || events.len() + BEACONS.len() > NAME_MAX {
            return Err(CarrierError::Misconfigured(format!(
                "`{events}` cannot be a topic of Kafka: a name has letters, digits, `.`, `_` and `-`, and at most {} of \
                 them; rename the topic or change the prefix",
                NAME_MAX - BEACONS.len(),
            )));
        }
        let beacons = format!("{events}{BEACONS}");
        Ok(Topic { events, beacons })
    }
}

/// Makes both topics, or finds that they are as they should be; whether the one of the events was made. It blocks.
pub(crate) fn ensure(options: &Options, topic: &Topic) -> Result<bool, CarrierError> {
    let ensured = Desk::open(options).and_then(|desk| {
        let made = desk.ensure(&topic.events, &Shape::of_events(options))?;
        desk.ensure(&topic.beacons, &Shape::of_beacons(options))?;
        Ok(made)
    });
    ensured.map_err(|failed| match failed {
        CarrierError::Unavailable(_) => error::with_reason(options, failed, client::why_silent(options)),
        other => other,
    })
}

/// What [`ensure`] makes, as commands.
pub(crate) fn making(options: &Options, topic: &Topic) -> String {
    let brokers = quoted(&options.brokers);
    let command = |name: &str, shape: &Shape| {
        let settings: String = shape
            .settings
            .iter()
            .map(|setting| format!(" --config {}={}", setting.name, setting.value))
            .collect();
        format!(
            "kafka-topics.sh --bootstrap-server {brokers} --create --if-not-exists --topic {} --partitions {} \
             --replication-factor {}{settings}\n",
            quoted(name),
            shape.partitions,
            shape.replication,
        )
    };
    command(&topic.events, &Shape::of_events(options)) + &command(&topic.beacons, &Shape::of_beacons(options))
}

struct Desk<'a> {
    options: &'a Options,
    admin: AdminClient<Words>,
    until: Instant,
}

impl<'a> Desk<'a> {
    fn open(options: &'a Options) -> Result<Desk<'a>, CarrierError> {
        let config = client::asking(options);
        let admin = AdminClient::from_config_and_context(&config, Words::default())
            .map_err(|failed| error::carrier(options, "cannot make a client", &failed))?;
        Ok(Desk { options, admin, until: Instant::now() + options.answer_within })
    }

    fn ensure(&self, name: &str, shape: &Shape) -> Result<bool, CarrierError> {
        if let Some(found) = self.look(name)? {
            shape.check(name, &found)?;
            return Ok(false);
        }
        if !self.options.create {
            return Err(CarrierError::Misconfigured(format!(
                "the topic `{name}` does not exist: make it with {shape}, as `provision --kafka` does, or set create = true"
            )));
        }
        self.make(name, shape)?;
        // A new topic is there when the brokers say so, which is a moment later.
        loop {
            if let Some(found) = self.look(name)? {
                return shape.check(name, &found).map(|()| true);
            }
            if Instant::now() >= self.until {
                let words = format!("the topic `{name}` was made, and is not there yet");
                return Err(CarrierError::Unavailable(words));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What a topic is like, if there is one.
    fn look(&self, name: &str) -> Result<Option<Found>, CarrierError> {
        let failed = |failed: KafkaError| {
            error::carrier(self.options, &format!("cannot look at the topic `{name}`"), &failed)
        };
        let asked = [ResourceSpecifier::Topic(name)];
        let described = self.admin.describe_configs(&asked, &self.admin_options());
        let described = Handle::current().block_on(described).map_err(failed)?;
        let resource = match described.into_iter().next() {
            Some(Ok(resource)) => resource,
            Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) | None => {
                return Ok(None);
            }
            Some(Err(code)) => return Err(failed(KafkaError::AdminOp(code))),
        };
        // Only of a topic that is there: of one that is not the client reads a list through a null pointer.
        let metadata = self.admin.inner().fetch_metadata(Some(name), self.left()).map_err(failed)?;
        let Some(topic) = metadata.topics().first() else { return Ok(None) };
        // The client passes over what the broker refuses of the question before.
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                return Err(failed(KafkaError::AdminOp(code)));
            }
            Some(_) => return Ok(None),
        }
        let partitions = topic.partitions();
        Ok(Some(Found {
            partitions: partitions.len(),
            replication: partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
            settings: resource
                .entries
                .into_iter()
                .filter_map(|entry| Some((entry.name, entry.value?)))
                .collect(),
        }))
    }

    fn make(&self, name: &str, shape: &Shape) -> Result<(), CarrierError> {
        let new = NewTopic {
            name,
            num_partitions: i32::from(shape.partitions),
            replication: TopicReplication::Fixed(i32::from(shape.replication)),
            config: shape.settings.iter().map(|setting| (setting.name, &*setting.value)).collect(),
        };
        let failed = |failed: KafkaError| {
            error::carrier(self.options, &format!("cannot make the topic `{name}` with {shape}"), &failed)
        };
        let made = self.admin.create_topics([&new], &self.admin_options());
        let made = Handle::current().block_on(made).map_err(failed)?;
        match made.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => Ok(()),
            Some(Err((_, code @ RDKafkaErrorCode::InvalidReplicationFactor))) => {
                Err(CarrierError::Misconfigured(format!(
                    "cannot make the topic `{name}` with {shape}: {code}; has the cluster {} brokers? If not, set \
                     replication and insync_min to what it has",
                    shape.replication,
                )))
            }
            Some(Err((_, code))) => Err(failed(KafkaError::AdminOp(code))),
            Some(Ok(_)) => {
                info!(event.topic = name, "made the topic `{name}` on Kafka with {shape}");
                Ok(())
            }
        }
    }

    fn admin_options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.left())).operation_timeout(Some(self.left()))
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(LOOK_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_its_events_and_its_beacons_apart() {
        let topic = Topic::named("blog.", "posts").expect("a name");
        assert_eq!((&*topic.events, &*topic.beacons), ("blog.posts", "blog.posts.beacons"));
    }

    #[test]
    fn a_name_that_kafka_does_not_take_is_refused_in_words() {
        for name in ["", "two words", "ü", &"x".repeat(242)] {
            let error = Topic::named("", name).expect_err(name).to_string();
            assert!(error.contains("rename the topic"), "{error}");
        }
    }
}
