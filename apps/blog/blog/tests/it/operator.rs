//! What an operator does with a blog, by its own binary: through the processes that run, and without them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use divisi_testkit::eventually;
use rusqlite::params;
use serde_json::Value;

use crate::blog::{Blog, SetUp, Writer, text};
use crate::command::binary;
use crate::scenario::quiet;
use crate::tables::open;

const SET_UPS: [SetUp; 2] = [SetUp::Whole, SetUp::Split];
const PATIENCE: Duration = Duration::from_secs(20);

/// What a command said, and whether it went well.
#[derive(Debug)]
struct Said {
    well: bool,
    out: String,
    err: String,
}

/// Gives `blog` a command, as `parked redrive comments KEY`.
fn operate(data: &Path, words: &[&str]) -> Said {
    let output = binary().args(words).arg("--data").arg(data).output().expect("the binary runs");
    Said {
        well: output.status.success(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The same for machines; it must go well.
pub(crate) fn ask(data: &Path, words: &[&str]) -> Value {
    let said = operate(data, &[words, &["--json"]].concat());
    assert!(said.well, "{words:?}: {said:?}");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{value} has no list `{name}`")).clone()
}

/// A post with comments that have been judged; the comments' ids.
pub(crate) fn judged(blog: &Blog, n_comments: usize) -> (String, Vec<String>) {
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "p");
    let comments =
        (0..n_comments).map(|n| writer.comment(&post, &format!("apple {n}"), &format!("c{n}"))).collect();
    quiet(&mut writer, 1, n_comments);
    (post, comments)
}

/// Appends to moderation's log, behind its back, another judgement of a comment.
pub(crate) fn judge_again(data: &Path, comment: &str, payload: &str) {
    let sql = "INSERT INTO divisi_outbox (topic, lane, pos, epoch, type, key, payload, at) \
               SELECT topic, lane, (SELECT max(pos) + 1 FROM divisi_outbox l WHERE l.topic = o.topic AND l.lane = o.lane), \
               epoch, type, key, CAST(?2 AS BLOB), at FROM divisi_outbox o WHERE key = ?1 LIMIT 1";
    let n = open(&data.join("moderation.db")).execute(sql, params![comment, payload]).expect("a row");
    assert_eq!(n, 1);
}

pub(crate) fn judgement(comment: &str, post: &str, status: &str) -> String {
    serde_json::json!({ "id": comment, "post": post, "status": status }).to_string()
}

#[test]
fn a_key_that_cannot_be_applied_is_shown_and_after_mending_redriven_in_order() {
    for set_up in SET_UPS {
        let data = tempfile::tempdir().expect("a directory");
        let data = data.path();
        let blog = Blog::start(set_up, data);
        let (post, comments) = judged(&blog, 2);
        let (lost, other) = (comments[0].as_str(), comments[1].as_str());
        blog.stop();
        let file = data.join("comments.db");
        open(&file)
            .execute("CREATE TABLE aside AS SELECT * FROM comments WHERE id = $1", [lost])
            .expect("a copy");
        open(&file).execute("DELETE FROM comments WHERE id = $1", [lost]).expect("a row");
        judge_again(data, lost, &judgement(lost, &post, "rejected"));
        judge_again(data, lost, &judgement(lost, &post, "approved"));
        judge_again(data, other, &judgement(other, &post, "rejected"));

        let blog = Blog::start(set_up, data);
        let parked = eventually(
            "both events of the key are parked",
            PATIENCE,
            || list(&ask(data, &["parked"]), "parked"),
            |parked| parked.first().is_some_and(|key| key["n_events"] == 2),
        );
        assert_eq!(parked.len(), 1, "{set_up:?}: {parked:?}");
        let key = &parked[0];
        assert_eq!(
            [&key["consumer"], &key["source"], &key["topic"], &key["state"]],
            ["comments", "moderation", "moderation", "dead"]
        );
        assert_eq!(key["key"], lost);
        assert!(text(&key["reason"]).contains("was judged, but is not here"), "{key}");
        let shown = operate(data, &["parked"]);
        assert!(shown.out.contains(lost) && shown.out.contains("was judged, but is not here"), "{shown:?}");
        eventually(
            "the other key flows",
            PATIENCE,
            || status_of(&blog, &post, other),
            |status| status == "rejected",
        );

        let again = operate(data, &["parked", "redrive", "comments", lost]);
        assert!(
            !again.well && again.err.contains("failed again and is dead"),
            "nothing was mended: {again:?}"
        );
        let full = operate(data, &["parked", "redrive", "comments", "moderation", "moderation", lost]);
        assert!(!full.well && full.err.contains("failed again and is dead"), "{full:?}");
        blog.stop();

        open(&file).execute("INSERT INTO comments SELECT * FROM aside", []).expect("the row is mended");
        open(&file).execute("DROP TABLE aside", []).expect("the copy goes");
        let blog = match set_up {
            SetUp::Split => {
                let said = operate(data, &["parked", "redrive", "comments", lost]);
                assert!(said.well && said.out.contains("is tried when it starts"), "{said:?}");
                Blog::start(set_up, data)
            }
            _ => {
                let blog = Blog::start(set_up, data);
                let said = operate(data, &["parked", "redrive", "comments", lost]);
                assert!(said.well && said.out.contains("took effect, in order"), "{said:?}");
                blog
            }
        };
        eventually("nothing is parked", PATIENCE, || list(&ask(data, &["parked"]), "parked"), Vec::is_empty);
        blog.stop();
        let row: (String, i64) = open(&file)
            .query_row("SELECT status, version FROM comments WHERE id = $1", [lost], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("the row");
        assert_eq!(row, ("approved".to_owned(), 4), "judged once before, then rejected, then approved");
    }
}

#[test]
fn a_key_is_dropped_only_with_a_yes_and_what_would_go_is_shown_before() {
    for set_up in SET_UPS {
        let data = tempfile::tempdir().expect("a directory");
        let data = data.path();
        let blog = Blog::start(set_up, data);
        let (post, comments) = judged(&blog, 1);
        let key = comments[0].as_str();
        blog.stop();
        judge_again(data, key, "{\"id\": broken");

        let blog = Blog::start(set_up, data);
        eventually(
            "what cannot be decoded is parked",
            PATIENCE,
            || operate(data, &["parked"]).out,
            |out| out.contains("cannot be decoded"),
        );
        let unsure = operate(data, &["parked", "drop", "comments", key]);
        assert!(!unsure.well && unsure.err.contains("--yes"), "{unsure:?}");
        assert!(unsure.out.contains("{\"id\": broken"), "it shows what would go: {unsure:?}");
        assert_eq!(list(&ask(data, &["parked"]), "parked").len(), 1);

        let dropped = ask(data, &["parked", "drop", "comments", key, "--yes"]);
        assert_eq!(dropped["n_events"], 1);
        assert!(list(&ask(data, &["parked"]), "parked").is_empty());
        let none = operate(data, &["parked", "drop", "comments", key, "--yes"]);
        assert!(!none.well && none.err.contains("is not parked"), "{none:?}");
        blog.stop();

        judge_again(data, key, &judgement(key, &post, "rejected"));
        let blog = Blog::start(set_up, data);
        eventually(
            "later events of the key are applied",
            PATIENCE,
            || status_of(&blog, &post, key),
            |status| status == "rejected",
        );
        blog.stop();
    }
}

#[test]
fn lanes_that_too_many_failures_paused_go_on_when_an_operator_says_so() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    let blog = Blog::start(SetUp::Whole, data);
    let (_, comments) = judged(&blog, 25);
    blog.stop();
    comments.iter().for_each(|key| judge_again(data, key, "broken"));

    let blog = Blog::start(SetUp::Whole, data);
    let paused = eventually(
        "lanes pause instead of parking everything",
        PATIENCE,
        || lag_of(data, "comments", "moderation"),
        |lag| lag["state"] == "paused" && lag["parked_keys"] == 20,
    );
    assert!(!list(&paused, "paused_lanes").is_empty(), "{paused}");
    assert_eq!(paused["unread"], 5, "{paused}");
    let none = operate(data, &["parked", "resume", "moderation"]);
    assert!(none.well && none.out.contains("no lane of `moderation` is paused"), "{none:?}");

    let resumed = ask(data, &["parked", "resume", "comments"]);
    assert_eq!(list(&resumed, "lanes").len(), list(&paused, "paused_lanes").len(), "{resumed}");
    eventually(
        "the rest is parked as well",
        PATIENCE,
        || lag_of(data, "comments", "moderation"),
        |lag| lag["state"] == "following" && lag["unread"] == 0 && lag["parked_keys"] == 25,
    );
    blog.stop();
}

#[test]
fn lag_reaches_zero_and_says_what_is_not_read_when_nothing_runs() {
    for set_up in SET_UPS {
        let data = tempfile::tempdir().expect("a directory");
        let data = data.path();
        let blog = Blog::start(set_up, data);
        let (post, comments) = judged(&blog, 3);
        let lags = eventually(
            "everything is read",
            PATIENCE,
            || list(&ask(data, &["lag"]), "lag"),
            |lags| lags.iter().all(|lag| lag["unread"] == 0 && lag["state"] == "following"),
        );
        let mut readers: Vec<String> =
            lags.iter().map(|lag| format!("{} of {}", text(&lag["reader"]), text(&lag["source"]))).collect();
        readers.sort();
        let all = [
            "comments of moderation",
            "comments of posts",
            "moderation of comments",
            "query.posts of comments",
            "query.posts of posts",
        ];
        assert_eq!(readers, all, "{set_up:?}");
        blog.stop();

        judge_again(data, &comments[0], &judgement(&comments[0], &post, "rejected"));
        let lag = lag_of(data, "comments", "moderation");
        assert_eq!((&lag["unread"], &lag["state"]), (&Value::from(1), &Value::from("not_running")), "{lag}");
        assert!(lag["oldest_unread_seconds"].is_i64(), "{lag}");
        assert_eq!(lag_of(data, "query.posts", "comments")["unread"], 0);
    }
}

#[test]
fn a_service_that_does_not_answer_is_named_and_the_others_are_told() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    let blog = Blog::start(SetUp::Whole, data);
    judged(&blog, 1);
    blog.stop();
    let owner = File::options().write(true).open(data.join("moderation.db.owner")).expect("the lock's file");
    rustix::fs::flock(&owner, rustix::fs::FlockOperation::NonBlockingLockExclusive).expect("nobody runs");

    let said = operate(data, &["lag"]);
    assert!(!said.well, "{said:?}");
    assert!(said.err.contains("not every service answered") && said.err.contains("moderation:"), "{said:?}");
    assert!(said.err.contains("has the database of `moderation` and takes no commands"), "{said:?}");
    assert!(said.out.contains("query.posts"), "{said:?}");
    assert!(said.out.contains("does not answer"), "its sources say how far it was: {said:?}");
}

#[test]
fn events_shows_what_was_announced() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    let blog = Blog::start(SetUp::Split, data);
    let (post, comments) = judged(&blog, 2);
    let of_key = list(&ask(data, &["events", "comments", "--key", &post]), "events");
    let n_of = |kind: &str| of_key.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((n_of("CommentCreated"), n_of("CommentUpdated")), (2, 2), "{of_key:?}");
    let all = list(&ask(data, &["events", "comments", "--topic", "comments"]), "events");
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(all[0]["payload"]["content"], "apple 0");
    let first = text(&all[0]["id"]);
    let after = list(&ask(data, &["events", "comments", "--after", &first, "--limit", "2"]), "events");
    assert_eq!(after, all[1..3], "what comes after it in its lane, and no more than asked for");
    let newest = list(&ask(data, &["events", "comments", "--limit", "1"]), "events");
    assert_eq!(newest, all[3..]);
    let shown = operate(data, &["events", "moderation", "--key", &comments[0]]);
    assert!(
        shown.out.contains("CommentModerated v1") && shown.out.contains(r#""status":"approved""#),
        "{shown:?}"
    );
    assert_eq!(operate(data, &["events", "query"]).out, "no events\n");
    blog.stop();
    let stopped = list(&ask(data, &["events", "comments"]), "events");
    assert_eq!(stopped, all, "the same without the blog");
}

#[test]
fn the_newest_events_are_found_in_all_lanes_in_the_order_of_their_times() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    let blog = Blog::start(SetUp::Whole, data);
    let mut writer = Writer::new(blog.address);
    let posts: Vec<String> = (0..60).map(|n| writer.post(&format!("post {n}"), &format!("p{n}"))).collect();
    // One lane that is longer than what is read of it at once.
    (0..20).for_each(|n| drop(writer.comment(&posts[0], &format!("apple {n}"), &format!("c{n}"))));
    quiet(&mut writer, 60, 20);
    let titles = |limit: usize| -> Vec<String> {
        let events = list(&ask(data, &["events", "posts", "--limit", &limit.to_string()]), "events");
        events.iter().map(|event| text(&event["payload"]["title"])).collect()
    };
    let expected = |from: usize| -> Vec<String> { (from..60).map(|n| format!("post {n}")).collect() };
    assert_eq!(titles(7), expected(53));
    assert_eq!(titles(1_000), expected(0));
    let n_created = |words: &[&str]| {
        let events = list(&ask(data, words), "events");
        events.iter().filter(|event| event["type"] == "CommentCreated").count()
    };
    assert_eq!(n_created(&["events", "comments", "--limit", "100"]), 20);
    assert_eq!(n_created(&["events", "comments", "--key", &posts[0], "--limit", "100"]), 20);
    assert_eq!(n_created(&["events", "comments", "--key", &posts[1], "--limit", "100"]), 0);
    blog.stop();
}

#[test]
fn a_projection_is_rebuilt_on_demand_and_readers_see_it() {
    for set_up in SET_UPS {
        let data = tempfile::tempdir().expect("a directory");
        let data = data.path();
        let blog = Blog::start(set_up, data);
        judged(&blog, 3);
        let before = Writer::new(blog.address).read("/posts");
        let begun = ask(data, &["projection", "rebuild", "query.posts"]);
        assert_eq!((&begun["version"], &begun["running"]), (&Value::from(2), &Value::from(true)));
        version_serves(data, 2);
        assert!(data.join("query.posts.v2.db").exists());
        assert_eq!(Writer::new(blog.address).read("/posts"), before, "{set_up:?}");
        let mut writer = Writer::new(blog.address);
        writer.post("another", "q");
        quiet(&mut writer, 2, 3);
        blog.stop();

        let begun = ask(data, &["projection", "rebuild", "query.posts"]);
        assert_eq!((&begun["version"], &begun["running"]), (&Value::from(3), &Value::from(false)));
        let twice = operate(data, &["projection", "rebuild", "query.posts"]);
        assert!(
            !twice.well && twice.err.contains("version 3 of `query.posts` is being built already"),
            "{twice:?}"
        );
        let blog = Blog::start(set_up, data);
        version_serves(data, 3);
        quiet(&mut Writer::new(blog.address), 2, 3);
        blog.stop();
    }
}

#[test]
fn a_reader_is_forgotten_only_when_the_app_has_it_no_more() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    let blog = Blog::start(SetUp::Whole, data);
    judged(&blog, 1);
    let names = |readers: &Value| -> Vec<String> {
        list(readers, "readers").iter().map(|reader| text(&reader["name"])).collect()
    };
    assert_eq!(names(&ask(data, &["readers", "comments"])), ["moderation", "query.posts"]);
    let listens = operate(data, &["readers", "drop", "comments", "moderation", "--yes"]);
    assert!(!listens.well && listens.err.contains("listens to `comments` in this app"), "{listens:?}");
    blog.stop();
    let old = "INSERT INTO divisi_reader (reader, topic, lane, seen_at) VALUES ('search', 'comments', 0, 0)";
    open(&data.join("comments.db")).execute(old, []).expect("a row");

    let blog = Blog::start(SetUp::Whole, data);
    let epochs = list(&ask(data, &["epochs", "comments"]), "epochs").len();
    assert_eq!(epochs, 2, "one a start");
    let unsure = operate(data, &["readers", "drop", "comments", "search"]);
    assert!(!unsure.well && unsure.err.contains("--yes"), "{unsure:?}");
    assert_eq!(ask(data, &["readers", "drop", "comments", "search", "--yes"])["topics"], 1);
    assert_eq!(names(&ask(data, &["readers", "comments"])), ["moderation", "query.posts"]);
    blog.stop();
}

#[test]
fn a_wrong_name_says_which_there_are() {
    let data = tempfile::tempdir().expect("a directory");
    let check = |words: &[&str], says: &str| {
        let said = operate(data.path(), words);
        assert!(!said.well && said.err.contains(says), "{words:?}: {said:?}");
    };
    check(
        &["events", "coments"],
        "there is no service `coments` (did you mean `comments`?); there are `posts`, `comments`",
    );
    check(&["parked", "resume", "query"], "there is no consumer `query` (did you mean `query.posts`?)");
    check(
        &["projection", "rebuild", "posts"],
        "there is no projection `posts` (did you mean `query.posts`?); there is",
    );
    check(&["events", "posts", "--topic", "post"], "there is no topic `post` (did you mean `posts`?)");
    check(&["events", "posts", "--after", "7/posts"], "EPOCH/TOPIC/LANE/POS");
    check(&["parked", "redrive", "comments", "moderation", "key"], "SOURCE TOPIC KEY");
    check(&["epochs", "posts"], "there is no data of `posts`");
    assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 0, "a look makes nothing");
}

#[test]
fn the_way_in_is_for_the_owner_alone_and_a_dead_process_leaves_none() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().join("d".repeat(150));
    fs::create_dir(&data).expect("a directory");
    let mut blog = Blog::start(SetUp::Whole, &data);
    let socket = data.join("posts.operator");
    let mode = fs::symlink_metadata(&socket).expect("it listens").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    blog.kill_one(&mut fastrand::Rng::with_seed(1));
    assert!(operate(&data, &["epochs", "posts"]).well, "it is started again over what it left");
    blog.stop();
    assert!(!socket.exists());
}

#[test]
fn what_is_no_question_is_refused_in_words_and_holds_nobody_up() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    let blog = Blog::start(SetUp::Whole, data);
    let connect = || UnixStream::connect(data.join("posts.operator")).expect("it listens");
    for nonsense in ["\n", "{}\n", "[7]\n", "{\"ask\":\"the moon\"}\n", "{\"ask\":\"events\",\"limit\":-1}\n"]
    {
        let mut stream = connect();
        stream.write_all(nonsense.as_bytes()).expect("it reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("it answers");
        assert!(reply.contains("this is no question that process"), "{nonsense:?}: {reply:?}");
    }
    // Longer than any question: it is cut off, perhaps before all of it is written.
    let _ = connect().write_all(&vec![b'x'; 1024 * 1024]);
    // More than are heard at once, and none of them says a word.
    let silent: Vec<UnixStream> = (0..12).map(|_| connect()).collect();
    assert!(operate(data, &["epochs", "posts"]).well, "a silent connection is given up");
    drop(silent);
    blog.stop();
}

fn lag_of(data: &Path, reader: &str, source: &str) -> Value {
    let lags = list(&ask(data, &["lag"]), "lag");
    let found = lags.iter().find(|lag| lag["reader"] == reader && lag["source"] == source);
    found.cloned().unwrap_or_else(|| panic!("{reader} of {source} in {lags:?}"))
}

fn version_serves(data: &Path, version: i64) {
    eventually(
        "readers see the new version",
        PATIENCE,
        || list(&ask(data, &["projection"]), "projections"),
        |all| all.len() == 1 && all[0]["active"] == version && all[0]["building"].is_null(),
    );
}

/// What readers see of a comment.
fn status_of(blog: &Blog, post: &str, comment: &str) -> String {
    let comments = Writer::new(blog.address).read(&format!("/posts/{post}/comments"));
    let comments = comments.as_array().cloned().unwrap_or_default();
    let found = comments.iter().find(|one| one["id"] == comment);
    found.map(|one| text(&one["status"])).unwrap_or_default()
}
