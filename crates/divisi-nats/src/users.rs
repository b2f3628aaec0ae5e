//! Users of a server, each with what one service needs and no more, as the server's configuration has them.

use std::fmt::Write as _;

use bcrypt::BcryptError;
use divisi_events::carrier::CarrierError;

use crate::connection::INBOX;
use crate::names::Names;
use crate::options::Options;

/// How dear it is to try a password: a tenth of a second, as NATS's own tool has it.
const COST: u32 = 11;

/// What a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Subjects that it may publish to; none: nothing.
    pub publish: Vec<String>,
    /// Subjects that it may subscribe to.
    pub subscribe: Vec<String>,
}

/// A user of a server.
#[derive(Clone, Copy)]
pub struct User<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its password; none is written as `…`.
    pub password: Option<&'a str>,
    /// What it may do; none: everything.
    pub rights: Option<&'a Rights>,
}

/// Why users cannot be written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// A password cannot be hashed.
    #[error("the password of `{user}` cannot be hashed; it has 71 bytes at the most")]
    Password {
        /// Whose.
        user: String,
        /// Why.
        source: BcryptError,
    },
}

impl Rights {
    /// What the service `user` needs to publish the events of the topics that it `announces` and to read those of the
    /// topics that it `hears`. It cannot make streams, nor read the answers of others.
    pub fn of<'a>(
        options: &Options,
        user: &str,
        announces: impl IntoIterator<Item = &'a str>,
        hears: impl IntoIterator<Item = &'a str>,
    ) -> Result<Rights, CarrierError> {
        let mut rights = Rights { publish: Vec::new(), subscribe: vec![format!("{INBOX}.{user}.>")] };
        let looks = |stream: &str| {
            [format!("$JS.API.STREAM.INFO.{stream}"), format!("$JS.API.STREAM.MSG.GET.{stream}")]
        };
        for topic in announces {
            let Names { stream, subjects, beacons, .. } = Names::of(&options.prefix, topic)?;
            rights.publish.extend([subjects, beacons]);
            rights.publish.extend(looks(&stream));
        }
        for topic in hears {
            let Names { stream, beacons, .. } = Names::of(&options.prefix, topic)?;
            rights.publish.extend(looks(&stream).into_iter().chain([
                format!("$JS.API.CONSUMER.CREATE.{stream}"),
                format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
                format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
            ]));
            rights.subscribe.push(beacons);
        }
        // Who hears its own topic needs some of it twice.
        rights.publish.sort_unstable();
        rights.publish.dedup();
        Ok(rights)
    }
}

/// A list of users for the server's configuration, `users = […]`, with passwords as bcrypt hashes. A hash that stands in
/// `earlier`, the list of the last time, and is the password's, stays: so the same users make the same text.
///
/// It takes a tenth of a second a user.
pub fn users(users: &[User<'_>], earlier: &str) -> Result<String, UsersError> {
    let mut text = "users = [\n".to_owned();
    for user in users {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\"{}\"", before_hash(user.name), hash(user, earlier)?);
        if let Some(rights) = user.rights {
            text.push_str(", permissions: {\n");
            list(&mut text, "publish", &rights.publish);
            list(&mut text, "subscribe", &rights.subscribe);
            text.push_str("  }");
        }
        text.push_str(" }\n");
    }
    text.push_str("]\n");
    Ok(text)
}

/// What an entry begins with.
fn before_hash(user: &str) -> String {
    format!("  {{ user: {}, password: ", quoted(user))
}

fn hash(user: &User<'_>, earlier: &str) -> Result<String, UsersError> {
    let Some(password) = user.password else { return Ok("…".to_owned()) };
    let beginning = before_hash(user.name);
    let kept = earlier.lines().find_map(|line| line.strip_prefix(&beginning)?.split('"').nth(1));
    match kept.filter(|hash| bcrypt::non_truncating_verify(password, hash).unwrap_or(false)) {
        Some(hash) => Ok(hash.to_owned()),
        None => bcrypt::non_truncating_hash(password, COST)
            .map_err(|source| UsersError::Password { user: user.name.to_owned(), source }),
    }
}

/// An empty list would permit everything.
fn list(text: &mut String, what: &str, subjects: &[String]) {
    if subjects.is_empty() {
        let _ = writeln!(text, "    {what}: {{ deny: \">\" }}");
        return;
    }
    let _ = writeln!(text, "    {what}: [");
    for subject in subjects {
        let _ = writeln!(text, "      {}", quoted(subject));
    }
    text.push_str("    ]\n");
}

/// A text in quotes, as the server's configuration has it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights() -> Rights {
        let options = Options::new("blog", ["nats://broker"]);
        Rights::of(&options, "comments", ["comments"], ["posts", "comments"]).expect("topics")
    }

    #[test]
    fn a_service_publishes_its_own_topics_and_reads_what_it_hears() {
        let Rights { publish, subscribe } = rights();
        let own = |subject: &&String| subject.starts_with("evt");
        assert_eq!(publish.iter().filter(own).collect::<Vec<_>>(), ["evt-beacon.comments", "evt.comments.*"]);
        assert_eq!(subscribe, ["_INBOX.comments.>", "evt-beacon.posts", "evt-beacon.comments"]);
        let changes = ["STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "MSG.DELETE"];
        let may_change = |subject: &String| changes.iter().any(|change| subject.contains(change));
        assert!(!publish.iter().any(may_change), "{publish:?}");
        let n_before = publish.len();
        let mut once = publish;
        once.dedup();
        assert_eq!(once.len(), n_before);
    }

    #[test]
    fn the_same_users_make_the_same_text_and_another_password_another() {
        let rights = rights();
        let with = |password| {
            [
                User { name: "op\"erator", password: Some("o"), rights: None },
                User { name: "comments", password, rights: Some(&rights) },
            ]
        };
        let first = users(&with(Some("c")), "").expect("a text");
        assert!(!first.contains("\"c\"") && first.contains("\"$2b$11$"), "{first}");
        assert_eq!(users(&with(Some("c")), &first).expect("a text"), first);
        let other = users(&with(Some("d")), &first).expect("a text");
        let changed = first.lines().zip(other.lines()).filter(|(a, b)| a != b).count();
        assert_eq!(changed, 1, "{first}\n{other}");
        assert!(users(&with(None), &first).expect("a text").contains("\"…\""));
        let long = "x".repeat(72);
        let refused = users(&with(Some(&long)), "").expect_err("bcrypt would cut it").to_string();
        assert!(refused.contains("comments") && !refused.contains("xxx"), "{refused}");
    }

    #[test]
    fn who_needs_nothing_may_do_nothing() {
        let rights = Rights { publish: Vec::new(), subscribe: Vec::new() };
        let text =
            users(&[User { name: "idle", password: None, rights: Some(&rights) }], "").expect("a text");
        assert_eq!(text.matches("{ deny: \">\" }").count(), 2, "{text}");
    }
}
