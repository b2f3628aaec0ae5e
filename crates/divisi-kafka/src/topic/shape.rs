//! How a topic should be, and what is said of one that is not. Pure.

use std::collections::HashMap;
use std::fmt;

use divisi_events::carrier::CarrierError;

use crate::options::Options;

/// The largest record that a topic must take: a payload of 256 KiB and its headers, or the largest beacon.
const RECORD_BYTES_MAX: u64 = 512 * 1024;
/// How long beacons stay: the last one counts.
const BEACONS_STAY_MS: u64 = 60 * 60 * 1000;
/// A number that stands for no limit.
const UNLIMITED: i64 = -1;

/// How a topic is made, and what is looked at in one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) partitions: u16,
    pub(super) replication: u16,
    pub(super) settings: Vec<Setting>,
}

/// One setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: String,
    rule: Rule,
}

/// What another value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// It is wrong.
    Exactly,
    /// It is wrong if it is less.
    AtLeast,
    /// It is the operator's to choose.
    Any,
}

/// How a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) partitions: usize,
    pub(super) replication: usize,
    pub(super) settings: HashMap<String, String>,
}

impl Shape {
    /// A topic of events.
    pub(super) fn of_events(options: &Options) -> Shape {
        let stays =
            options.retention.map_or(UNLIMITED, |span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
        Shape {
            partitions: options.partitions,
            replication: options.replication,
            settings: vec![
                // Compaction would take events out of the middle of a lane.
                Setting::new("cleanup.policy", "delete", Rule::Exactly),
                Setting::new("retention.ms", stays, Rule::AtLeast),
                Setting::new("min.insync.replicas", options.insync_min, Rule::AtLeast),
                Setting::new("max.message.bytes", RECORD_BYTES_MAX, Rule::AtLeast),
            ],
        }
    }

    /// A topic of beacons: one partition, and nothing of it is old.
    pub(super) fn of_beacons(options: &Options) -> Shape {
        Shape {
            partitions: 1,
            replication: options.replication,
            settings: vec![
                Setting::new("cleanup.policy", "delete", Rule::Any),
                Setting::new("retention.ms", BEACONS_STAY_MS, Rule::Any),
                Setting::new("segment.ms", BEACONS_STAY_MS, Rule::Any),
                Setting::new("min.insync.replicas", options.insync_min, Rule::Any),
                Setting::new("max.message.bytes", RECORD_BYTES_MAX, Rule::AtLeast),
            ],
        }
    }

    /// Whether a topic will do; the first thing that is wrong, with both values and what to do.
    pub(super) fn check(&self, topic: &str, found: &Found) -> Result<(), CarrierError> {
        let wrong = |words: String| Err(CarrierError::Misconfigured(words));
        if found.partitions != usize::from(self.partitions) {
            return wrong(format!(
                "the topic `{topic}` has {} partitions, and {} are set: set partitions = {0}, for everybody who \
                 publishes or reads it, or delete the topic",
                found.partitions, self.partitions,
            ));
        }
        if found.replication < usize::from(self.replication) {
            return wrong(format!(
                "the topic `{topic}` has {} copies of a partition, and {} are set: reassign its partitions, or set \
                 replication = {0} and accept that it is lost with them",
                found.replication, self.replication,
            ));
        }
        for setting in &self.settings {
            let Some(value) = found.settings.get(setting.name) else { continue };
            if let Some(must) = setting.is_broken_by(value) {
                return wrong(format!(
                    "{name} of the topic `{topic}` is {value}, and must be {must} {wanted}: change it with `kafka-configs.sh \
                     --alter --topic {topic} --add-config {name}={wanted}`{or}",
                    name = setting.name,
                    wanted = setting.value,
                    or = setting.otherwise(),
                ));
            }
        }
        Ok(())
    }
}

impl Setting {
    fn new(name: &'static str, value: impl fmt::Display, rule: Rule) -> Setting {
        Setting { name, value: value.to_string(), rule }
    }

    /// How a value should be instead, if it is wrong.
    fn is_broken_by(&self, value: &str) -> Option<&'static str> {
        let wrong = match self.rule {
            Rule::Any => false,
            Rule::Exactly => value != self.value,
            Rule::AtLeast => match (value.parse(), self.value.parse()) {
                (Ok(UNLIMITED), _) => false,
                (Ok::<i64, _>(_), Ok(UNLIMITED)) => true,
                (Ok(value), Ok::<i64, _>(wanted)) => value < wanted,
                _ => value != self.value,
            },
        };
        wrong.then_some(if self.rule == Rule::Exactly { "exactly" } else { "at least" })
    }

    /// The other way out, where an option decides what is wanted.
    fn otherwise(&self) -> &'static str {
        match self.name {
            "retention.ms" => ", or lower the option retention",
            "min.insync.replicas" => ", or lower the option insync_min",
            _ => "",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} partitions, replication factor {}", self.partitions, self.replication)?;
        self.settings.iter().try_for_each(|setting| write!(f, ", {}={}", setting.name, setting.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let settings = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "604800000"),
            ("min.insync.replicas", "2"),
            ("max.message.bytes", "1048588"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Found { partitions: 8, replication: 3, settings }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Found), words: Option<&[&str]>) {
        let mut found = found();
        change(&mut found);
        let said = Shape::of_events(&Options::new("blog", "b:1")).check("sales", &found);
        match (said.map_err(|error| error.to_string()), words) {
            (Ok(()), None) => {}
            (Err(said), Some(words)) => {
                assert!(words.iter().all(|word| said.contains(word)), "{said}");
            }
            (said, _) => panic!("{said:?}"),
        }
    }

    fn set(name: &'static str, value: &'static str) -> impl FnOnce(&mut Found) {
        move |found| {
            found.settings.insert(name.to_owned(), value.to_owned());
        }
    }

    #[test]
    fn a_topic_as_it_was_made_will_do_and_a_more_generous_one_too() {
        check(|_| {}, None);
        check(|found| found.replication = 5, None);
        check(set("retention.ms", "-1"), None);
        check(set("min.insync.replicas", "3"), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_both_values_and_what_to_do() {
        check(
            |found| found.partitions = 12,
            Some(&["`sales` has 12 partitions", "8 are set", "partitions = 12"]),
        );
        check(|found| found.replication = 1, Some(&["has 1 copies", "3 are set", "replication = 1"]));
        check(
            set("cleanup.policy", "compact"),
            Some(&[
                "cleanup.policy of the topic `sales` is compact",
                "exactly delete",
                "cleanup.policy=delete",
            ]),
        );
        check(
            set("retention.ms", "60000"),
            Some(&["retention.ms", "is 60000", "at least 604800000", "or lower the option retention"]),
        );
        check(set("min.insync.replicas", "1"), Some(&["is 1", "at least 2", "insync_min"]));
        check(set("max.message.bytes", "100000"), Some(&["is 100000", "at least 524288"]));
    }

    #[test]
    fn for_ever_is_more_than_any_span() {
        let mut options = Options::new("blog", "b:1");
        options.retention = None;
        let shape = Shape::of_events(&options);
        assert!(shape.check("sales", &found()).is_err());
    }
}
