//! The checks notice what they are there for: one thing is spoiled in a sound blog, and named.

use std::path::Path;

use rusqlite::Connection;

use crate::blog::{Blog, SetUp};
use crate::crash::load::{Load, Written};
use crate::crash::truth::{broken, settles};

/// What is spoiled, in which file, and what must be said of it.
const SPOILED: [(&str, &str, &str); 9] = [
    ("posts.db", "DELETE FROM posts WHERE rowid = 1", "posts: 1 lost"),
    ("posts.db", "INSERT INTO posts SELECT 'again', title FROM posts LIMIT 1", "posts: 1 too many"),
    ("comments.db", "DELETE FROM comments WHERE rowid = 1", "comments: 1 lost"),
    (
        "comments.db",
        "INSERT INTO comments SELECT 'again', post, content, status, version FROM comments LIMIT 1",
        "comments: 1 too many",
    ),
    ("comments.db", "UPDATE comments SET version = 3 WHERE rowid = 1", "comments: 1 lost"),
    ("moderation.db", "DELETE FROM judged WHERE rowid = 1", "judgements: 1 lost"),
    (
        "query.posts.v1.db",
        "UPDATE comments SET status = 'pending' WHERE rowid = 1",
        "the projection's comments: 1 lost",
    ),
    (
        "comments.db",
        "DELETE FROM divisi_outbox WHERE pos = 2 AND lane = (SELECT lane FROM divisi_outbox WHERE pos = 3 LIMIT 1)",
        "with holes",
    ),
    // Two comments of one post change places, with everything that is said of them.
    (
        "query.posts.v1.db",
        "CREATE TEMP TABLE two AS SELECT min(rowid) a, max(rowid) b FROM comments GROUP BY post HAVING count(*) > 1 LIMIT 1;
         UPDATE comments SET rowid = -1 WHERE rowid = (SELECT a FROM two);
         UPDATE comments SET rowid = (SELECT a FROM two) WHERE rowid = (SELECT b FROM two);
         UPDATE comments SET rowid = (SELECT b FROM two) WHERE rowid = -1;",
        "the projection's effects: the order",
    ),
];

#[test]
fn whatever_is_spoiled_is_named() {
    let data = tempfile::tempdir().expect("a directory");
    let written = sound_blog(data.path());
    assert_eq!(broken(data.path(), &written), Vec::<String>::new());
    for (file, sql, words) in SPOILED {
        let copy = tempfile::tempdir().expect("a directory");
        copy_files(data.path(), copy.path());
        Connection::open(copy.path().join(file)).expect("a database").execute_batch(sql).expect(sql);
        let broken = broken(copy.path(), &written);
        assert!(broken.iter().any(|line| line.contains(words)), "`{sql}` in {file}: {broken:#?}");
    }
}

fn sound_blog(data: &Path) -> Written {
    let blog = Blog::start(SetUp::Whole, data);
    let load = Load::start(blog.address, "control", 2);
    load.goes_on(30);
    let written = load.end();
    settles(blog.address, &written);
    blog.stop();
    written
}

/// Copies the files of a blog that has stopped.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}
