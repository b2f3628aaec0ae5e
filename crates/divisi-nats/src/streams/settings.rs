//! What a stream should be, and what to do about one that is not. Pure.

use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use divisi_events::carrier::CarrierError;

use crate::names::Names;
use crate::options::StreamOptions;

/// The settings of a topic's stream.
pub(super) fn wanted(options: &StreamOptions, names: &Names) -> Config {
    Config {
        name: names.stream.clone(),
        description: Some(format!("events of the topic `{}`, filled from its log", names.topic)),
        subjects: vec![names.subjects.clone()],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: options.max_age,
        max_bytes: options.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_message_size: -1,
        num_replicas: options.replicas,
        duplicate_window: options.duplicate_window.min(longest(options.max_age)),
        ..Config::default()
    }
}

/// Refuses a stream that is not what is wanted: every setting that differs, both values, and what to do.
pub(super) fn check(stream: &str, wanted: &Config, found: &Config) -> Result<(), CarrierError> {
    let mut wrong = Vec::new();
    let mut differs = |setting: &str, found: String, wanted: String| {
        if found != wanted {
            wrong.push(format!("{setting} is {found} and should be {wanted}"));
        }
    };
    differs("subjects", shown(&found.subjects), shown(&wanted.subjects));
    differs("storage", shown(&found.storage), shown(&wanted.storage));
    differs("retention", shown(&found.retention), shown(&wanted.retention));
    differs("discard", shown(&found.discard), shown(&wanted.discard));
    differs("max_age", span(found.max_age), span(wanted.max_age));
    differs("max_bytes", limit(found.max_bytes), limit(wanted.max_bytes));
    differs("max_msgs", limit(found.max_messages), limit(wanted.max_messages));
    differs(
        "max_msgs_per_subject",
        limit(found.max_messages_per_subject),
        limit(wanted.max_messages_per_subject),
    );
    differs("max_msg_size", limit(found.max_message_size), limit(wanted.max_message_size));
    differs("num_replicas", found.num_replicas.to_string(), wanted.num_replicas.to_string());
    differs("duplicate_window", span(found.duplicate_window), span(wanted.duplicate_window));
    differs("no_ack", found.no_ack.to_string(), wanted.no_ack.to_string());
    differs("sealed", found.sealed.to_string(), wanted.sealed.to_string());
    differs("mirror", shown(&found.mirror.is_some()), shown(&false));
    differs(
        "sources",
        shown(&found.sources.as_ref().is_some_and(|sources| !sources.is_empty())),
        shown(&false),
    );
    if wrong.is_empty() {
        return Ok(());
    }
    Err(CarrierError::Misconfigured(format!(
        "the stream `{stream}` is not as this carrier is configured: {}; change the stream (`nats stream edit {stream}`) or the \
         configuration, or remove the stream (`nats stream rm {stream}`): it is then made and filled from the log",
        wrong.join(", ")
    )))
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn span(span: Duration) -> String {
    if span.is_zero() { "without limit".to_owned() } else { format!("{span:?}") }
}

/// The server says -1 where nothing is set, and some tools 0.
fn limit(limit: impl Into<i64>) -> String {
    match limit.into() {
        ..=0 => "without limit".to_owned(),
        limit => limit.to_string(),
    }
}

/// The server wants no window against doubles that is longer than messages stay.
fn longest(max_age: Duration) -> Duration {
    if max_age.is_zero() { Duration::MAX } else { max_age }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::of("evt", "sales").expect("a topic")
    }

    #[test]
    fn a_stream_as_it_should_be_is_taken() {
        let wanted = wanted(&StreamOptions::default(), &names());
        let found = Config { max_messages: 0, max_message_size: 0, ..wanted.clone() };
        assert!(check("evt_sales", &wanted, &found).is_ok());
    }

    #[test]
    fn every_wrong_setting_is_named_with_both_values_and_what_to_do() {
        let wanted = wanted(&StreamOptions::default(), &names());
        let found = Config {
            storage: StorageType::Memory,
            max_age: Duration::from_secs(60),
            max_messages_per_subject: 1,
            ..wanted.clone()
        };
        let Err(CarrierError::Misconfigured(words)) = check("evt_sales", &wanted, &found) else {
            panic!("it is refused")
        };
        for part in [
            "storage is memory and should be file",
            "max_age is 60s and should be 604800s",
            "max_msgs_per_subject is 1 and should be without limit",
            "nats stream edit evt_sales",
        ] {
            assert!(words.contains(part), "`{part}` is not in: {words}");
        }
        assert!(!words.contains("retention"), "what is right is not named: {words}");
    }
}
