//! Streams, subjects and hints, and which topics can have them.

use std::sync::Arc;

use divisi_events::Hint;
use divisi_events::carrier::CarrierError;
use divisi_store::Lane;

use crate::nats::NAME;

/// The longest topic: names of streams are names of directories.
const TOPIC_MAX: usize = 180;

/// The names of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) topic: Arc<str>,
    /// The stream: prefix and topic, `+` where the topic has a dot.
    pub(crate) stream: String,
    /// All lanes.
    pub(crate) subjects: String,
    /// Beacons, which no stream stores.
    pub(crate) beacons: String,
    /// What the subject of each lane begins with.
    before_lane: String,
}

/// One life of a stream: another creation is another life, and hints of the old one are void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamId(pub(crate) Arc<str>);

impl Names {
    /// The names of a topic; in words why it cannot have any.
    pub(crate) fn of(prefix: &str, topic: &str) -> Result<Names, CarrierError> {
        if topic.len() > TOPIC_MAX || !topic.split('.').all(is_token) {
            let topic: String = topic.chars().take(TOPIC_MAX).collect();
            return Err(CarrierError::Misconfigured(format!(
                "the topic `{}` cannot be a subject of NATS: letters, digits, `-` and `_`, with dots between, {TOPIC_MAX} in all",
                topic.escape_debug()
            )));
        }
        Ok(Names {
            topic: topic.into(),
            stream: format!("{prefix}_{}", topic.replace('.', "+")),
            subjects: format!("{prefix}.{topic}.*"),
            beacons: format!("{prefix}-beacon.{topic}"),
            before_lane: format!("{prefix}.{topic}."),
        })
    }

    pub(crate) fn subject(&self, lane: Lane) -> String {
        format!("{}{lane}", self.before_lane)
    }

    pub(crate) fn lane(&self, subject: &str) -> Option<Lane> {
        subject.strip_prefix(&self.before_lane)?.parse().ok().map(Lane)
    }
}

impl StreamId {
    pub(crate) fn hint(&self, sequence: u64) -> Hint {
        Hint(format!("{NAME}:{}:{sequence}", self.0).into())
    }

    /// The sequence behind a hint, if it is of this stream.
    pub(crate) fn sequence(&self, hint: &Hint) -> Option<u64> {
        let (id, sequence) = hint.0.strip_prefix(NAME)?.strip_prefix(':')?.rsplit_once(':')?;
        (id == &*self.0).then(|| sequence.parse().ok()).flatten()
    }
}

/// Whether it can stand between two dots of a subject.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_stream_and_a_subject_a_lane() {
        let names = Names::of("evt", "orders.requests").expect("a topic");
        assert_eq!(names.stream, "evt_orders+requests");
        assert_eq!(names.subject(Lane(7)), "evt.orders.requests.7");
        assert_eq!(names.lane("evt.orders.requests.7"), Some(Lane(7)));
        assert_eq!(names.lane("evt.orders.requests.70000"), None);
        assert_eq!(names.lane("evt.orders.7"), None);
    }

    #[test]
    fn what_cannot_be_a_subject_is_refused() {
        for topic in ["", "a..b", ".a", "a b", "a*", ">", "ä", &"x".repeat(TOPIC_MAX + 1)] {
            assert!(matches!(Names::of("evt", topic), Err(CarrierError::Misconfigured(_))), "{topic}");
        }
    }

    #[test]
    fn a_hint_of_another_stream_is_void() {
        let (old, new) = (StreamId("evt_a@1".into()), StreamId("evt_a@2".into()));
        assert_eq!(new.sequence(&new.hint(17)), Some(17));
        assert_eq!(new.sequence(&old.hint(17)), None);
        for void in
            ["", "nats", "nats:", "nats:evt_a@2", "nats:evt_a@2:", "nats:evt_a@2:-1", "kafka:evt_a@2:1"]
        {
            assert_eq!(new.sequence(&Hint(void.into())), None, "{void}");
        }
    }
}
