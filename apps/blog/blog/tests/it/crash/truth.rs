//! What must be true of a blog, whatever happened to it, computed anew from what its writers were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use divisi_testkit::{Http, eventually};
use rusqlite::Connection;
use serde_json::Value;

use crate::blog::text;
use crate::crash::load::Written;
use crate::tables::open;

/// How long readers may lag once everything runs again.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_secs(10);
/// The most that one question may ask for.
const PAGE: usize = 100;

/// Waits until the read model has everything that was acknowledged, and every comment is judged by the rule.
pub(crate) fn settles(address: SocketAddr, written: &Written) {
    let expected = expected(written);
    eventually(
        "readers see what was acknowledged",
        SETTLES_WITHIN,
        || difference(&expected, &seen(address)),
        Option::is_none,
    );
}

/// Every promise that is broken, in words. The blog has stopped.
pub(crate) fn broken(data: &Path, written: &Written) -> Vec<String> {
    let file = |name: &str| open(&data.join(name));
    let [posts, comments, moderation, query] =
        [file("posts.db"), file("comments.db"), file("moderation.db"), file("query.posts.v1.db")];
    let mut broken = Broken(Vec::new());

    // Nothing lost, nothing doubled, at the owners and wherever it was told.
    broken.compare("posts", &rows(&posts, "SELECT id, title FROM posts"), &acknowledged_posts(written));
    broken.compare(
        "comments",
        &rows(&comments, "SELECT id, post, content, status, version FROM comments"),
        &acknowledged_comments(written),
    );
    broken.compare(
        "posts known to comments",
        &rows(&comments, "SELECT id FROM posts_known"),
        &rows(&posts, "SELECT id FROM posts"),
    );
    broken.compare(
        "judgements",
        &rows(&moderation, "SELECT id, status FROM judged"),
        &rows(&comments, "SELECT id, status FROM comments"),
    );

    // The projection is what its sources say.
    broken.compare(
        "the projection's posts",
        &rows(&query, "SELECT id, title FROM posts"),
        &rows(&posts, "SELECT id, title FROM posts"),
    );
    let sql = "SELECT id, post, content, status, version FROM comments";
    broken.compare("the projection's comments", &rows(&query, sql), &rows(&comments, sql));

    // Each event once, positions dense, in order per key, and applied in that order.
    let created = broken.log(&comments, "comments", "CommentCreated");
    let updated = broken.log(&comments, "comments", "CommentUpdated");
    broken.order("events CommentCreated", &by_post(&created), written);
    broken.same_set("events CommentUpdated", &created, &updated);
    broken.updated_after_created(&comments);
    let moderated = broken.log(&moderation, "moderation", "CommentModerated");
    broken.same_set("events CommentModerated", &created, &moderated);
    let posted = broken.log(&posts, "posts", "PostCreated");
    broken.compare(
        "events PostCreated",
        &posted.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>(),
        &rows(&posts, "SELECT id FROM posts"),
    );
    let inserted = pairs(&query, "SELECT post, id FROM comments ORDER BY rowid");
    broken.order("the projection's effects", &by_post(&inserted), written);
    let post_of: BTreeMap<&str, &str> =
        created.iter().map(|(post, id)| (id.as_str(), post.as_str())).collect();
    let judged: Vec<(String, String)> = rows(&moderation, "SELECT id FROM judged ORDER BY rowid")
        .into_iter()
        .map(|id| (post_of.get(id.as_str()).copied().unwrap_or("no post").to_owned(), id))
        .collect();
    broken.order("moderation's effects", &by_post(&judged), written);

    for (name, connection) in [("comments", &comments), ("moderation", &moderation), ("query", &query)] {
        let parked = rows(connection, "SELECT topic, key, state, reason FROM divisi_parked_key");
        broken.none(&format!("keys parked by {name}"), &parked);
        let parked = rows(connection, "SELECT topic, key, lane, pos FROM divisi_parked_event");
        broken.none(&format!("events parked by {name}"), &parked);
    }
    broken.0
}

/// What is broken, in words.
struct Broken(Vec<String>);

impl Broken {
    fn none(&mut self, what: &str, found: &[String]) {
        if let Some(first) = found.first() {
            self.0.push(format!("{what}: {} are left, the first is {first}", found.len()));
        }
    }

    /// Every row of `wanted` exactly once, and no other.
    fn compare(&mut self, what: &str, found: &[String], wanted: &[String]) {
        let count = |rows: &[String]| {
            let mut counts: BTreeMap<String, i64> = BTreeMap::new();
            for row in rows {
                *counts.entry(row.clone()).or_default() += 1;
            }
            counts
        };
        let (found, wanted) = (count(found), count(wanted));
        let too_few = |(row, n): &(&String, &i64)| found.get(*row).copied().unwrap_or(0) < **n;
        let lost: Vec<&String> = wanted.iter().filter(too_few).map(|(row, _)| row).collect();
        let too_many = |(row, n): &(&String, &i64)| wanted.get(*row).copied().unwrap_or(0) < **n;
        let doubled: Vec<&String> = found.iter().filter(too_many).map(|(row, _)| row).collect();
        if let Some(first) = lost.first() {
            self.0.push(format!("{what}: {} lost, the first is {first}", lost.len()));
        }
        if let Some(first) = doubled.first() {
            self.0.push(format!("{what}: {} too many, the first is {first}", doubled.len()));
        }
    }

    /// The comments of each post in the order in which their writer, who waited for each answer, made them.
    fn order(&mut self, what: &str, found: &BTreeMap<&str, Vec<&str>>, written: &Written) {
        for (id, post) in &written.posts {
            let wanted: Vec<&str> = post.comments.iter().map(|comment| comment.id.as_str()).collect();
            let found = found.get(id.as_str()).cloned().unwrap_or_default();
            if found != wanted {
                self.0.push(format!("{what}: the order of {} is {found:?}, not {wanted:?}", post.title));
                return;
            }
        }
    }

    fn same_set(&mut self, what: &str, wanted: &[(String, String)], found: &[(String, String)]) {
        let ids = |of: &[(String, String)]| of.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>();
        self.compare(what, &ids(found), &ids(wanted));
    }

    /// The key and the id of each event of a kind, in the order of the log; positions must be dense.
    fn log(&mut self, connection: &Connection, topic: &str, kind: &str) -> Vec<(String, String)> {
        let sql = "SELECT topic, lane FROM divisi_outbox GROUP BY topic, lane HAVING min(pos) != 1 OR max(pos) != count(*)";
        self.none(&format!("lanes of {topic} with holes"), &rows(connection, sql));
        let sql = format!(
            "SELECT key, coalesce(json_extract(payload, '$.id'), 'no id') FROM divisi_outbox \
             WHERE topic = '{topic}' AND type LIKE '%{kind}' ORDER BY lane, pos"
        );
        let found = pairs(connection, &sql);
        if found.is_empty() {
            self.0.push(format!("no event {kind} at all"));
        }
        found
    }

    fn updated_after_created(&mut self, comments: &Connection) {
        let sql = "SELECT u.key, u.lane, u.pos FROM divisi_outbox u WHERE u.type LIKE '%CommentUpdated' AND NOT EXISTS \
                   (SELECT 1 FROM divisi_outbox c WHERE c.type LIKE '%CommentCreated' AND c.topic = u.topic AND c.lane = u.lane \
                    AND c.pos < u.pos AND c.key = u.key AND json_extract(c.payload, '$.id') = json_extract(u.payload, '$.id'))";
        self.none("updates before their creation", &rows(comments, sql));
    }
}

fn by_post(pairs: &[(String, String)]) -> BTreeMap<&str, Vec<&str>> {
    let mut posts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (post, id) in pairs {
        posts.entry(post).or_default().push(id);
    }
    posts
}

fn acknowledged_posts(written: &Written) -> Vec<String> {
    written.posts.iter().map(|(id, post)| format!("{id} {}", post.title)).collect()
}

fn acknowledged_comments(written: &Written) -> Vec<String> {
    let comments =
        written.posts.iter().flat_map(|(id, post)| post.comments.iter().map(move |comment| (id, comment)));
    comments
        .map(|(post, comment)| {
            format!("{} {post} {} {} 2", comment.id, comment.content, verdict(&comment.content))
        })
        .collect()
}

/// The rule, written down once more.
fn verdict(content: &str) -> &'static str {
    if content.to_lowercase().contains("orange") { "rejected" } else { "approved" }
}

/// A post as a reader sees it: title, then each comment.
type View = BTreeMap<String, (String, Vec<String>)>;

fn expected(written: &Written) -> View {
    let comments = |post: &crate::crash::load::Post| {
        let mut comments: Vec<String> = post
            .comments
            .iter()
            .map(|comment| format!("{} {} {}", comment.id, comment.content, verdict(&comment.content)))
            .collect();
        comments.sort_unstable();
        comments
    };
    written.posts.iter().map(|(id, post)| (id.clone(), (post.title.clone(), comments(post)))).collect()
}

/// Everything that readers see, page by page; what cannot be read now is not seen.
fn seen(address: SocketAddr) -> View {
    let mut http = Http::new(address);
    let mut view = View::new();
    let mut path = format!("/posts?limit={PAGE}");
    while let Ok(reply) = http.get(&path)
        && reply.status == 200
    {
        let Value::Array(page) = reply.json() else { break };
        for post in &page {
            let comments = post["comments"].as_array().cloned().unwrap_or_default();
            let mut comments: Vec<String> = comments
                .iter()
                .map(|it| format!("{} {} {}", text(&it["id"]), text(&it["content"]), text(&it["status"])))
                .collect();
            comments.sort_unstable();
            view.insert(text(&post["id"]), (text(&post["title"]), comments));
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE) else { break };
        path = format!("/posts?limit={PAGE}&after={}", text(&last["id"]));
    }
    view
}

/// The first thing in which two views differ.
fn difference(expected: &View, seen: &View) -> Option<String> {
    let ids: BTreeSet<&String> = expected.keys().chain(seen.keys()).collect();
    let different: Vec<&String> = ids.into_iter().filter(|id| expected.get(*id) != seen.get(*id)).collect();
    let first = different.first()?;
    Some(format!(
        "{} of {} posts differ; {first} should be {:?}, but is {:?}",
        different.len(),
        expected.len(),
        expected.get(*first),
        seen.get(*first)
    ))
}

/// Each row as its columns, as text.
pub(crate) fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("a statement of the test");
    let n_columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let column = |n| row.get::<_, rusqlite::types::Value>(n).map(plain);
        Ok((0..n_columns).map(column).collect::<rusqlite::Result<Vec<String>>>()?.join(" "))
    };
    let rows = statement.query_map([], row).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

fn pairs(connection: &Connection, sql: &str) -> Vec<(String, String)> {
    let mut statement = connection.prepare(sql).expect("a statement of the test");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("text columns")
}

fn plain(value: rusqlite::types::Value) -> String {
    use rusqlite::types::Value::{Blob, Integer, Null, Real, Text};
    match value {
        Null => "-".to_owned(),
        Integer(n) => n.to_string(),
        Real(x) => x.to_string(),
        Text(text) => text,
        Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}
