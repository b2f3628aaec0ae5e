//! What a blog has come to, without ids and times: the same work must leave the same tables, wherever it ran.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// The tables of all services and the events per key, in the order of natural keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    /// A line a row: which table, then its columns.
    pub(crate) rows: Vec<String>,
    /// The events of each post, in order.
    pub(crate) events: BTreeMap<String, Vec<String>>,
}

impl Tables {
    /// Reads the files of a blog that has stopped.
    pub(crate) fn read(data: &Path) -> Tables {
        Tables::of(
            ["posts.db", "comments.db", "moderation.db", "query.posts.v1.db"]
                .map(|file| open(&data.join(file))),
        )
    }

    /// The same from the databases of posts, comments and moderation, and of query's projection.
    pub(crate) fn of([posts, comments, moderation, query]: [impl Base; 4]) -> Tables {
        let titles: BTreeMap<String, String> =
            posts.pairs("SELECT id, title FROM posts").into_iter().collect();
        let contents: BTreeMap<String, String> =
            comments.pairs("SELECT id, content FROM comments").into_iter().collect();
        let title = |id: &str| titles.get(id).cloned().unwrap_or_else(|| format!("unknown post {id}"));
        let content = |id: &str| contents.get(id).cloned().unwrap_or_else(|| format!("unknown comment {id}"));

        let mut rows: Vec<String> = titles.values().map(|title| format!("posts.posts {title}")).collect();
        rows.extend(
            comments
                .pairs("SELECT id, '' FROM posts_known")
                .iter()
                .map(|(id, _)| format!("comments.posts_known {}", title(id))),
        );
        for (from, connection) in [("comments", &comments), ("query", &query)] {
            let sql = "SELECT post, content || ' ' || status || ' v' || version FROM comments";
            rows.extend(
                connection
                    .pairs(sql)
                    .iter()
                    .map(|(post, row)| format!("{from}.comments {} {row}", title(post))),
            );
        }
        rows.extend(
            query
                .pairs("SELECT title, '' FROM posts")
                .iter()
                .map(|(title, _)| format!("query.posts {title}")),
        );
        rows.extend(
            moderation
                .pairs("SELECT id, status FROM judged")
                .iter()
                .map(|(id, status)| format!("moderation.judged {} {status}", content(id))),
        );
        rows.sort_unstable();

        let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (from, connection) in [("posts", &posts), ("comments", &comments), ("moderation", &moderation)] {
            for (key, kind, payload) in connection.log() {
                let payload: Value = serde_json::from_slice(&payload).expect("an event is JSON");
                let (key, what) = match from {
                    "moderation" => (content(&key), payload["status"].to_string()),
                    "comments" => (
                        title(&key),
                        format!("{} {} {}", payload["content"], payload["status"], payload["version"]),
                    ),
                    _ => (title(&key), payload["title"].to_string()),
                };
                events.entry(format!("{from} {key}")).or_default().push(format!("{kind} {what}"));
            }
        }
        Tables { rows, events }
    }

    /// One number for all of it.
    pub(crate) fn hash(&self) -> u64 {
        xxh3_64(format!("{self:?}").as_bytes())
    }
}

/// Opens a file that nobody writes, and looks whether it is sound.
pub(crate) fn open(path: &Path) -> Connection {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let sound: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be read");
    assert_eq!(sound, "ok", "{}", path.display());
    connection
}

/// A database that can be looked at, of whatever kind.
pub(crate) trait Base {
    /// The rows of a query with two columns of text.
    fn pairs(&self, sql: &str) -> Vec<(String, String)>;

    /// Key, type and payload of each event, in the order of positions; those of one key are all in one lane.
    fn log(&self) -> Vec<(String, String, Vec<u8>)>;
}

impl Base for Connection {
    fn pairs(&self, sql: &str) -> Vec<(String, String)> {
        let mut statement = self.prepare(sql).expect("a statement of the test");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.collect::<Result<_, _>>().expect("text columns")
    }

    fn log(&self) -> Vec<(String, String, Vec<u8>)> {
        let sql = "SELECT key, type, payload FROM divisi_outbox ORDER BY topic, lane, pos";
        let mut statement = self.prepare(sql).expect("a statement of the test");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows");
        rows.collect::<Result<_, _>>().expect("the log's columns")
    }
}
