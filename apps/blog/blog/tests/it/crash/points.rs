//! Killed at a named point, in the middle of what must not be torn.

use std::path::Path;

use divisi_testkit::process::Start;

use crate::blog::{Blog, SetUp};
use crate::crash::fleet::{Fleet, free_address};
use crate::crash::load::Load;
use crate::crash::truth::{broken, settles};
use crate::crash::{killed_itself, needs_failpoints};

/// Writes before a point is armed, and after the restart.
const WRITES: usize = 30;

#[test]
fn killed_before_an_event_is_appended() {
    killed_at("append.before=kill@25", "comments");
}

#[test]
fn killed_after_an_event_was_appended() {
    killed_at("append.after=kill@25", "comments");
}

#[test]
fn killed_inside_a_group() {
    killed_at("group.inside=kill@25", "comments");
}

#[test]
fn killed_before_commit() {
    killed_at("commit.before=kill@20", "comments");
}

#[test]
fn killed_during_commit() {
    killed_at("commit.during=kill@20", "comments");
}

#[test]
fn killed_after_commit_and_before_anybody_was_told() {
    killed_at("commit.after=kill@20", "comments");
}

#[test]
fn killed_before_a_consumers_transaction() {
    killed_at("consumer.before=kill@20", "moderation");
}

#[test]
fn killed_inside_a_consumers_transaction() {
    killed_at("consumer.handled=kill@20", "moderation");
}

#[test]
fn killed_after_a_consumers_transaction() {
    killed_at("consumer.after=kill@20", "moderation");
}

#[test]
fn killed_inside_a_projections_transaction() {
    killed_at_in_its_process("consumer.handled=kill@20", "query");
}

/// A source that was started again is in a new epoch, which each of its consumers enters in a transaction.
#[test]
fn killed_while_entering_an_epoch() {
    needs_failpoints();
    let data = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::started(data.path());
    let load = Load::start(fleet.address(), "epoch", 3);
    load.goes_on(WRITES);
    for at in 1..=2 {
        fleet.kill("comments");
        fleet.start_failing("comments", &format!("epoch.entering=kill@{at}"));
        for source in ["posts", "moderation"] {
            fleet.kill(source);
            fleet.start(source);
        }
        fleet.killed_itself("comments");
        fleet.start("comments");
        load.goes_on(WRITES / 2);
    }
    let written = load.end();
    settles(fleet.address(), &written);
    fleet.stop_all();
    assert_eq!(broken(data.path(), &written), Vec::<String>::new());
}

/// While posts is down nothing that query hears of comments can be applied: their keys are parked.
#[test]
fn killed_while_a_key_is_parked_and_while_it_is_applied_after_all() {
    needs_failpoints();
    let data = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::new(data.path());
    for name in ["posts", "comments", "moderation", "gateway"] {
        fleet.start(name);
    }
    let load = Load::start(fleet.address(), "parked", 3);
    load.goes_on(WRITES);
    let written = load.end();
    fleet.stop("posts");
    fleet.start_failing("query", "parked.before_watermark=kill@3");
    fleet.killed_itself("query");
    fleet.start("query");
    eventually_parked(data.path());
    fleet.kill("query");
    fleet.start("posts");
    fleet.start_failing("query", "redrive.before=kill@2");
    fleet.killed_itself("query");
    fleet.start("query");
    settles(fleet.address(), &written);
    fleet.stop_all();
    assert_eq!(broken(data.path(), &written), Vec::<String>::new());
}

/// In one process, and in the process of `service` among others.
fn killed_at(fail: &str, service: &'static str) {
    killed_at_in_one_process(fail);
    killed_at_in_its_process(fail, service);
}

fn killed_at_in_one_process(fail: &str) {
    needs_failpoints();
    let data = tempfile::tempdir().expect("a directory");
    let start = Start::new(env!("CARGO_BIN_EXE_blog"), data.path()).listening(free_address());
    let (mut process, address) = start.clone().variable("DIVISI_FAIL", fail).start();
    let load = Load::start(address, "point", 3);
    killed_itself(&mut process, fail);
    let blog = Blog::start_with(SetUp::Whole, data.path(), |start| start.listening(address));
    load.goes_on(WRITES);
    let written = load.end();
    settles(blog.address, &written);
    blog.stop();
    assert_eq!(broken(data.path(), &written), Vec::<String>::new(), "{fail}");
}

fn killed_at_in_its_process(fail: &str, service: &'static str) {
    needs_failpoints();
    let data = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::new(data.path());
    for name in super::fleet::ALL {
        if name == service { fleet.start_failing(name, fail) } else { fleet.start(name) }
    }
    let load = Load::start(fleet.address(), "point", 3);
    fleet.killed_itself(service);
    fleet.start(service);
    load.goes_on(WRITES);
    let written = load.end();
    settles(fleet.address(), &written);
    fleet.stop_all();
    assert_eq!(broken(data.path(), &written), Vec::<String>::new(), "{fail} in {service}");
}

/// Waits until query has parked as many keys as it takes to be killed at the second of them.
fn eventually_parked(data: &Path) {
    let count = || {
        let connection = rusqlite::Connection::open(data.join("query.posts.v1.db")).ok()?;
        let sql = "SELECT count(*) FROM divisi_parked_key WHERE state = 'waiting'";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).ok()
    };
    divisi_testkit::eventually("parked keys", crate::crash::truth::SETTLES_WITHIN, count, |n| {
        n.is_some_and(|n| n >= 3)
    });
}
