//! A database is put back to an older copy while its service is down, and nobody tells anybody (F-40).

use std::collections::BTreeSet;
use std::fs;

use crate::blog::Writer;
use crate::crash::fleet::{ALL, Fleet};
use crate::crash::truth::{SETTLES_WITHIN, rows};
use crate::tables::open;

const BEFORE: usize = 20;
/// Both reach so many lanes that some positions are used twice, once in each life of the database.
const LOST: usize = 60;
const ANEW: usize = 60;

#[test]
fn events_after_a_restore_are_applied_once_and_the_divergence_is_named() {
    let data = tempfile::tempdir().expect("a directory");
    let copy = tempfile::tempdir().expect("a directory");
    let (file, copied) = (data.path().join("posts.db"), copy.path().join("posts.db"));

    let mut titles = BTreeSet::new();
    write_and_stop(data.path(), "before", BEFORE, &mut titles);
    fs::copy(&file, &copied).expect("a copy");
    write_and_stop(data.path(), "lost", LOST, &mut titles);
    let lost = positions(&file);
    fs::copy(&copied, &file).expect("the older copy");

    // New writes before any consumer is there to see that something is different.
    let mut fleet = Fleet::new(data.path());
    for name in ["posts", "gateway"] {
        fleet.start(name);
    }
    write(&fleet, "anew", ANEW, &mut titles);
    for name in ["comments", "moderation", "query"] {
        fleet.start(name);
    }
    everybody_knows(&fleet, titles.len());
    for name in ["comments", "query"] {
        let words = "source diverged: `posts` no longer knows the events";
        let output = fleet.output(name);
        assert!(output.contains(words), "{name} does not name it:\n{output}");
    }
    fleet.stop_all();

    let again = &positions(&file) & &lost;
    let before = &positions(&copied) & &lost;
    assert!(again.len() > before.len(), "no position was used twice: the test shows nothing");
    let titles: Vec<String> = titles.into_iter().collect();
    let query = open(&data.path().join("query.posts.v1.db"));
    assert_eq!(rows(&query, "SELECT title FROM posts ORDER BY title"), titles, "each once");
    let comments = open(&data.path().join("comments.db"));
    assert_eq!(rows(&comments, "SELECT id FROM posts_known").len(), titles.len());
    let posts = open(&file);
    assert_eq!(
        rows(&posts, "SELECT id FROM posts").len(),
        BEFORE + ANEW,
        "the older copy, and what came after"
    );
}

fn write_and_stop(data: &std::path::Path, name: &str, n: usize, titles: &mut BTreeSet<String>) {
    let mut fleet = Fleet::new(data);
    for name in ALL {
        fleet.start(name);
    }
    write(&fleet, name, n, titles);
    everybody_knows(&fleet, titles.len());
    fleet.stop_all();
}

fn write(fleet: &Fleet, name: &str, n: usize, titles: &mut BTreeSet<String>) {
    let mut writer = Writer::new(fleet.address());
    for n in 0..n {
        let title = format!("{name}-{n}");
        writer.post(&title, &title);
        titles.insert(title);
    }
}

/// Waits until query and comments have heard of `n` posts.
fn everybody_knows(fleet: &Fleet, n: usize) {
    let count = |file: &str, table: &str| {
        let connection = rusqlite::Connection::open(fleet.data().join(file)).ok()?;
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).ok()
    };
    let look = || (count("query.posts.v1.db", "posts"), count("comments.db", "posts_known"));
    let all = i64::try_from(n).ok();
    divisi_testkit::eventually("everybody knows every post", SETTLES_WITHIN, look, |seen| {
        *seen == (all, all)
    });
}

/// Where the events are, in a log that nobody writes.
fn positions(file: &std::path::Path) -> BTreeSet<String> {
    rows(&open(file), "SELECT lane, pos FROM divisi_outbox").into_iter().collect()
}
