//! `blog backup`: what is copied while a blog is written to is a blog of one moment.

use std::fs;
use std::path::Path;
use std::process::Output;

use divisi_testkit::eventually;
use rusqlite::Connection;

use crate::blog::{Blog, SetUp, Writer};
use crate::command::{binary, told, was_killed};
use crate::crash::controls::copy_files;
use crate::crash::load::{Load, Post, Written};
use crate::crash::needs_failpoints;
use crate::crash::truth::{SETTLES_WITHIN, broken, rows, settles};
use crate::scenario::quiet;
use crate::tables::{Tables, open};

const SET_UPS: [SetUp; 2] = [SetUp::Whole, SetUp::Split];
/// Copies that are made of one blog while it is written to.
const BACKUPS: usize = 4;
const WRITES: usize = 60;
const DIVERGED: &str = "source diverged";

#[test]
fn a_copy_of_a_blog_that_is_written_to_is_a_blog_of_one_moment() {
    for set_up in SET_UPS {
        let (data, copies) = directories();
        let running = Blog::start(set_up, data.path());
        let load = Load::start(running.address, "before", 3);
        load.goes_on(WRITES);
        let before = load.end();
        let load = Load::start(running.address, "beside", 3);
        for n in 0..BACKUPS {
            load.goes_on(WRITES / 4);
            let output = back_up(data.path(), &copies.path().join(n.to_string()), &[]);
            assert!(output.status.success(), "{}", told(&output));
            assert_eq!(told(&output).matches(" bytes\n").count(), 5, "{}", told(&output));
        }
        load.goes_on(WRITES / 4);
        let mut written = load.end();
        written.add(before.clone());
        running.stop();

        let mut larger = before.n_comments();
        for n in 0..BACKUPS {
            let copy = copies.path().join(n.to_string());
            let copied = copied(&written, &copy);
            for (id, post) in &before.posts {
                assert_eq!(copied.posts.get(id), Some(post), "what was acknowledged before is in the copy");
            }
            assert!(larger < copied.n_comments(), "each copy is of a later moment");
            larger = copied.n_comments();
            let again = Blog::start(set_up, &copy);
            settles(again.address, &copied);
            // A post without comments is in nobody's answer.
            let known = || {
                let comments = Connection::open(copy.join("comments.db")).expect("a database");
                rows(&comments, "SELECT id FROM posts_known").len()
            };
            eventually("comments knows every post", SETTLES_WITHIN, known, |n| *n == copied.posts.len());
            let output = again.stop();
            assert!(!output.contains(DIVERGED), "{output}");
            assert_eq!(broken(&copy, &copied), Vec::<String>::new(), "{set_up:?}, backup {n}");
        }
        assert!(larger < written.n_comments(), "the last copy is older than the end");
    }
}

/// A control: copies of several moments are noticed.
#[test]
fn copies_that_are_made_one_by_one_are_no_blog_of_one_moment() {
    let (data, copies) = directories();
    let running = Blog::start(SetUp::Whole, data.path());
    let load = Load::start(running.address, "beside", 3);
    let whole = copies.path().join("whole");
    fs::create_dir(&whole).expect("a directory");
    for services in [&["posts"][..], &["comments", "moderation", "query"]] {
        load.goes_on(WRITES);
        let some = copies.path().join(services[0]);
        let output = back_up(data.path(), &some, services);
        assert!(output.status.success(), "{}", told(&output));
        copy_files(&some, &whole);
    }
    load.end();
    running.stop();
    let mut again = Blog::start(SetUp::Whole, &whole);
    again.says(DIVERGED);
    again.stop();
}

#[test]
fn a_copy_of_a_blog_that_rests_is_the_same_blog() {
    let (data, copies) = directories();
    let running = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(running.address);
    let post = writer.post("a post", "k1");
    writer.comment(&post, "an apple", "k2");
    quiet(&mut writer, 1, 1);
    let (beside, after) = (copies.path().join("beside"), copies.path().join("after"));
    assert!(back_up(data.path(), &beside, &[]).status.success());
    running.stop();
    assert!(back_up(data.path(), &after, &[]).status.success(), "also when nobody runs");
    let whole = Tables::read(data.path());
    for copy in [beside, after] {
        assert_eq!(Tables::read(&copy), whole);
        let again = Blog::start(SetUp::Split, &copy);
        let mut writer = Writer::new(again.address);
        writer.comment(&post, "another apple", "k3");
        quiet(&mut writer, 1, 2);
        again.stop();
    }
}

#[test]
fn what_is_in_the_way_is_named_and_nothing_is_replaced() {
    let (data, copies) = directories();
    let (data, to) = (data.path(), copies.path());
    let refused = |services: &[&str], to: &Path, words: &[&str]| {
        let output = back_up(data, to, services);
        let told = told(&output);
        assert!(!output.status.success() && words.iter().all(|words| told.contains(words)), "{told}");
    };
    refused(&[], to, &["posts.db", "its service has never run here, or keeps its data in another directory"]);

    let running = Blog::start(SetUp::Whole, data);
    let mut writer = Writer::new(running.address);
    writer.post("a post", "k1");
    quiet(&mut writer, 1, 0);
    refused(&["poosts"], to, &["there is no service `poosts`", "`posts`"]);
    refused(&[], data, &[&data.display().to_string(), "a backup replaces nothing; name another directory"]);
    let file = to.join("file");
    fs::write(&file, "a file").expect("a file");
    refused(&[], &file, &["cannot use", &file.display().to_string()]);

    // One that is there stays, and no other is made beside it.
    let there = to.join("there");
    fs::create_dir(&there).expect("a directory");
    fs::write(there.join("query.db"), "somebody's").expect("a file");
    refused(&[], &there, &["it is there and not empty, and a backup replaces nothing"]);
    assert_eq!(fs::read_dir(&there).expect("a directory").count(), 1, "nothing was begun");
    assert_eq!(fs::read(there.join("query.db")).expect("it is there"), b"somebody's");
    running.stop();

    // A page of noise where a table was.
    let path = data.join("posts.db");
    let mut bytes = fs::read(&path).expect("a database");
    let noise = bytes.len() / 4096 / 2 * 4096;
    bytes[noise..noise + 4096].fill(0xa5);
    fs::write(&path, bytes).expect("it is damaged");
    let damaged = to.join("damaged");
    refused(&["posts"], &damaged, &[&format!("{} is damaged", path.display())]);
    assert!(!damaged.exists(), "no copy of it");
}

#[test]
fn what_a_killed_backup_has_left_is_no_copy_and_in_nobodys_way() {
    needs_failpoints();
    let (data, copies) = directories();
    Blog::start(SetUp::Whole, data.path()).stop();
    let to = copies.path().join("monday");
    let mut killed = binary();
    killed.args(["backup", "--to"]).arg(&to).arg("--data").arg(data.path());
    let output = killed.env("DIVISI_FAIL", "backup.copied=kill").output().expect("the blog runs");
    assert!(was_killed(&output), "{}", told(&output));
    assert!(!to.exists() && copies.path().join("monday.partial").exists());
    let output = back_up(data.path(), &to, &[]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(!copies.path().join("monday.partial").exists());
    drop(open(&to.join("posts.db")));
}

#[cfg(feature = "postgres")]
#[test]
fn what_is_on_a_server_is_left_to_it_and_said() {
    let (data, copies) = directories();
    Blog::start(SetUp::Whole, data.path()).stop();
    let on_server = |variable: &str, to: &str| {
        let mut command = binary();
        command.arg("backup").arg("--data").arg(data.path()).arg("--to").arg(copies.path().join(to));
        // Nobody is asked there.
        command.env(variable, "postgres://u:hunter2@127.0.0.1:1/{service}").output().expect("the blog runs")
    };
    let output = on_server("DIVISI_SERVICES__POSTS__STORE", "some");
    let words = "the data of `posts` is on a server, which has backups of its own";
    assert!(output.status.success() && told(&output).contains(words), "{}", told(&output));
    assert!(!copies.path().join("some/posts.db").exists() && copies.path().join("some/comments.db").exists());
    let output = on_server("DIVISI_STORE__URL", "none");
    let words = "the data of `posts`, `comments`, `moderation`, `query` is on a server";
    assert!(!output.status.success() && told(&output).contains(words), "{}", told(&output));
}

fn directories() -> (tempfile::TempDir, tempfile::TempDir) {
    (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"))
}

fn back_up(data: &Path, to: &Path, services: &[&str]) -> Output {
    let mut command = binary();
    command.arg("backup").args(services).arg("--to").arg(to).arg("--data").arg(data);
    command.output().expect("the blog runs")
}

/// What of `written` is in the copies, before anybody has started on them.
fn copied(written: &Written, copy: &Path) -> Written {
    let ids = |file: &str, sql: &str| {
        let connection: Connection = open(&copy.join(file));
        rows(&connection, sql)
    };
    let posts = ids("posts.db", "SELECT id FROM posts");
    let comments = ids("comments.db", "SELECT id FROM comments");
    let there = |post: &Post| {
        let comments = post.comments.iter().filter(|comment| comments.contains(&comment.id));
        Post { title: post.title.clone(), comments: comments.cloned().collect() }
    };
    let posts = written.posts.iter().filter(|(id, _)| posts.contains(id));
    Written { posts: posts.map(|(id, post)| (id.clone(), there(post))).collect() }
}
