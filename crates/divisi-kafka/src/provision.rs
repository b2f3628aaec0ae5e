//! Making topics as an operator, and the commands that make users and give them their rights.
//!
//! librdkafka's Rust client makes topics and no more, so users and rights are for Kafka's own commands.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use divisi_events::carrier::CarrierError;

use crate::elsewhere::blocking;
use crate::error::SetupError;
use crate::kafka::Kafka;
use crate::options::{Mechanism, Options};
use crate::topic::{self, Topic};

/// What a source does with its topics: it also reads what it has published so far.
const ANNOUNCING: [&str; 3] = ["Write", "Read", "DescribeConfigs"];
/// What a reader does with a topic.
const HEARING: [&str; 2] = ["Read", "DescribeConfigs"];

/// Why topics could not be made. What had been made stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The options do not fit.
    #[error("cannot reach Kafka")]
    SetUp(#[source] SetupError),
    /// A topic is something else, or cannot be made.
    #[error("cannot make the topic `{topic}`")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        source: CarrierError,
    },
}

/// A user of a cluster: one service.
#[derive(Clone)]
pub struct User<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its password; none is written as `…`.
    pub password: Option<&'a str>,
    /// The topics that it announces, of the app's own names.
    pub announces: BTreeSet<&'a str>,
    /// The topics that it hears.
    pub hears: BTreeSet<&'a str>,
}

/// Makes each of `topics` and the topic of its beacons, or looks whether those that are there are as `options` say.
/// Answers each topic, and whether it is new. It may be repeated.
pub async fn provision(options: Options, topics: &[&str]) -> Result<Vec<(String, bool)>, ProvisionError> {
    // It looks at the options, and asks nobody.
    Kafka::new(options.clone()).map_err(ProvisionError::SetUp)?;
    let mut made = Vec::new();
    for topic in topics {
        let failed = |source| ProvisionError::Topic { topic: (*topic).to_owned(), source };
        let named = Topic::named(&options.prefix, topic).map_err(failed)?;
        let (options, asked) = (options.clone(), named.clone());
        let is_new = blocking(move || topic::ensure(&options, &asked)).await.map_err(failed)?;
        made.push((named.events, is_new));
    }
    Ok(made)
}

/// What [`provision()`] makes, as commands. Nobody is asked.
pub fn provisioning(options: &Options, topics: &[&str]) -> Result<String, CarrierError> {
    let mut text = String::new();
    for topic in topics {
        let named = Topic::named(&options.prefix, topic)?;
        text.push_str(&topic::making(options, &named));
    }
    Ok(text)
}

/// A shell script of Kafka's own commands that makes `users` and lets each write what it announces and read what it
/// hears, of `topics`, and nothing else of them. It may be repeated, and takes rights away that are no more needed.
///
/// By SCRAM, users are made with their passwords; by PLAIN, brokers have them in their own configuration.
pub fn script(
    options: &Options,
    mechanism: Mechanism,
    topics: &[&str],
    users: &[User<'_>],
) -> Result<String, CarrierError> {
    let mut text = format!("set -eu\nbrokers=${{BROKERS:-{}}}\n", quoted(&options.brokers));
    for user in users {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n# {}\n", user.name);
        if mechanism != Mechanism::Plain {
            text.push_str(&credential(user, mechanism));
        }
        let (mut own, mut heard, mut unwritten, mut unread) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for topic in topics {
            let Topic { events, beacons } = Topic::named(&options.prefix, topic)?;
            let names = [events, beacons];
            match (user.announces.contains(topic), user.hears.contains(topic)) {
                (true, _) => own.extend(names),
                (false, true) => {
                    unwritten.extend(names.clone());
                    heard.extend(names);
                }
                (false, false) => {
                    unwritten.extend(names.clone());
                    unread.extend(names);
                }
            }
        }
        acl(&mut text, "--remove --force", user.name, &["Write"], &unwritten);
        acl(&mut text, "--remove --force", user.name, &HEARING, &unread);
        acl(&mut text, "--add", user.name, &ANNOUNCING, &own);
        acl(&mut text, "--add", user.name, &HEARING, &heard);
    }
    Ok(text)
}

/// Sets the password. It comes by the standard input: whoever lists processes sees their arguments.
fn credential(user: &User<'_>, mechanism: Mechanism) -> String {
    let (mechanism, name) = (mechanism.name(), quoted(user.name));
    format!(
        "kafka-configs.sh --bootstrap-server \"$brokers\" \"$@\" --alter --entity-type users --entity-name {name} \\\n  \
         --add-config-file /dev/stdin <<'END'\n{mechanism}=password={}\nEND\n",
        user.password.map_or("…".to_owned(), property),
    )
}

fn acl(text: &mut String, act: &str, user: &str, operations: &[&str], topics: &[String]) {
    if topics.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "kafka-acls.sh --bootstrap-server \"$brokers\" \"$@\" {act} --allow-principal {}",
        quoted(&format!("User:{user}"))
    );
    operations.iter().for_each(|operation| text.push_str(&format!(" --operation {operation}")));
    text.push_str(" \\\n ");
    topics.iter().for_each(|topic| text.push_str(&format!(" --topic {}", quoted(topic))));
    text.push('\n');
}

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A text as a value of Java's properties, which are Latin-1.
fn property(text: &str) -> String {
    let mut value = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_graphic() && byte != b'\\' => value.push(char::from(byte)),
            _ => value.push_str(&format!("\\u{unit:04X}")),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mechanism: Mechanism, password: Option<&str>) -> String {
        let options = Options::new("blog", "one:9092,two:9092");
        let users = [User {
            name: "comments",
            password,
            announces: BTreeSet::from(["comments"]),
            hears: BTreeSet::from(["posts"]),
        }];
        script(&options, mechanism, &["comments", "posts", "moderation"], &users).expect("topics")
    }

    #[test]
    fn a_service_writes_what_it_announces_and_reads_what_it_hears_and_the_rest_is_taken_away() {
        let text = of(Mechanism::Plain, None);
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("--topic")).collect();
        assert_eq!(
            lines,
            [
                "  --topic 'posts' --topic 'posts.beacons' --topic 'moderation' --topic 'moderation.beacons'",
                "  --topic 'moderation' --topic 'moderation.beacons'",
                "  --topic 'comments' --topic 'comments.beacons'",
                "  --topic 'posts' --topic 'posts.beacons'",
            ]
        );
        let acts = ["--remove --force", "--remove --force", "--add", "--add"];
        let commands = text.lines().filter(|line| line.starts_with("kafka-acls.sh"));
        assert!(commands.zip(acts).all(|(line, act)| line.contains(act)), "{text}");
        assert!(!text.contains("kafka-configs.sh"), "brokers have the passwords of PLAIN: {text}");
        assert!(text.contains("brokers=${BROKERS:-'one:9092,two:9092'}"), "{text}");
    }

    #[test]
    fn a_password_is_a_property_and_no_argument() {
        let text = of(Mechanism::ScramSha512, Some("a b\\'ü"));
        assert!(text.contains("\nSCRAM-SHA-512=password=a\\u0020b\\u005C'\\u00FC\nEND\n"), "{text}");
        assert!(of(Mechanism::ScramSha512, None).contains("password=…\n"), "none is shown");
    }
}
