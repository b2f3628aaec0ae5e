//! The users of a broker, one a service.

use std::collections::BTreeMap;
use std::path::Path;

/// Each service with the topics that it announces and those that it hears.
pub(super) const HEARD: [(&str, &[&str], &[&str]); 4] = [
    ("posts", &["posts"], &[]),
    ("comments", &["comments"], &["posts", "moderation"]),
    ("moderation", &["moderation"], &["comments"]),
    ("query", &[], &["posts", "comments"]),
];

/// What `--password-file` keeps.
pub(super) struct Passwords(BTreeMap<String, String>);

impl Passwords {
    pub(super) fn read(file: &Path) -> Passwords {
        let kept = std::fs::read_to_string(file).expect("the file");
        let lines = kept.lines().filter_map(|line| line.split_once(" = "));
        Passwords(lines.map(|(name, it)| (name.to_owned(), it.trim_matches('"').to_owned())).collect())
    }

    pub(super) fn of(&self, user: &str) -> &str {
        &self.0[user]
    }
}
