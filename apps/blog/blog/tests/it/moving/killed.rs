//! Killed at any step, a move is ended by running it again; meanwhile no service starts on half of it.

use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;

use crate::blog::{Blog, SetUp};
use crate::command::{told, was_killed};
use crate::crash::load::{Load, Written};
use crate::crash::needs_failpoints;
use crate::crash::truth::settles;
use crate::moving::{Places, SERVICES, start_refused};
use crate::tables::Tables;

/// Writes before the moves.
const WRITES: usize = 120;
/// Kills at moments of a move that nobody chose.
const KILLS: usize = 20;

/// Whether anything is in the database.
const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace)";

/// What has been written, and what it came to in files.
fn lived(data: &Path) -> (Written, Tables) {
    let blog = Blog::start(SetUp::Whole, data);
    let load = Load::start(blog.address, "before", 3);
    load.goes_on(WRITES);
    let written = load.end();
    settles(blog.address, &written);
    blog.stop();
    (written, Tables::read(data))
}

/// Starts everything on the server: it is what was there, and it goes on.
fn goes_on(places: &Places, data: &Path, mut written: Written, before: &Tables) {
    let after = places.tables(data, &SERVICES);
    assert_eq!(after.rows, before.rows);
    assert_eq!(after.events, before.events);
    let blog = Blog::start_with(SetUp::Whole, data, |start| {
        let start = start.variable("DIVISI_STORE__CONNECTIONS_MAX", "6");
        SERVICES.iter().fold(start, |start, service| {
            let (name, value) = places.variable(service);
            start.variable(&name, value)
        })
    });
    settles(blog.address, &written);
    let load = Load::start(blog.address, "after", 3);
    load.goes_on(WRITES / 2);
    written.add(load.end());
    settles(blog.address, &written);
    blog.stop();
    let counts = "SELECT (SELECT count(*) FROM comments) || ' ' || (SELECT count(*) FROM divisi_outbox WHERE type LIKE '%Created%')";
    let n = written.n_comments();
    assert_eq!(places.sql("comments", counts), format!("{n} {n}"));
    let dense = "SELECT count(*) FROM (SELECT 1 FROM divisi_outbox GROUP BY topic, lane HAVING min(pos) <> 1 OR max(pos) <> count(*)) x";
    for service in ["posts", "comments", "moderation"] {
        assert_eq!(places.sql(service, dense), "0", "{service}");
    }
}

#[test]
fn a_move_that_is_killed_at_a_point_is_ended_by_running_it_again() {
    needs_failpoints();
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let (written, before) = lived(data.path());
    // One point a service; which, does not matter to it.
    let points = ["move.copying=kill@3", "move.committed=kill", "move.marked=kill", "move.copying=kill@30"];
    for (service, point) in SERVICES.into_iter().zip(points) {
        let output = places.moving(service, data.path(), &[], point).wait_with_output().expect("it ends");
        assert!(was_killed(&output), "{point}: {}", told(&output));
        let there = || start_refused(service, data.path(), Some(places.variable(service)));
        match point {
            "move.committed=kill" => assert!(there().contains("unfinished move")),
            "move.marked=kill" => {
                assert!(there().contains("unfinished move"));
                let here = start_refused(service, data.path(), None);
                assert!(here.contains("was moved to database `moderation`"), "{here}");
            }
            _ => assert_eq!(places.sql(service, IS_THERE), "f", "nothing was kept"),
        }
        places.takes(service, data.path());
        places.takes(service, data.path());
    }
    goes_on(&places, data.path(), written, &before);
}

#[test]
fn a_move_that_is_killed_at_random_moments_loses_nothing_and_doubles_nothing() {
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let (written, before) = lived(data.path());
    let mut random = fastrand::Rng::with_seed(20);
    // How long it takes when nobody is in the way.
    let began = Instant::now();
    let rehearsed =
        places.moving("posts", data.path(), &["--dry-run"], "").wait_with_output().expect("it ends");
    assert!(rehearsed.status.success(), "{}", told(&rehearsed));
    let whole = began.elapsed() * 3 / 2;
    let (mut n_killed, mut n) = (0, 0);
    while n_killed < KILLS {
        let service = SERVICES[n % SERVICES.len()];
        n += 1;
        let child = places.moving(service, data.path(), &[], "");
        // The moment is what is tried here: there is nothing to wait for.
        std::thread::sleep(whole.mul_f64(random.f64()));
        divisi_testkit::process::send(child.id(), Signal::KILL);
        let output = child.wait_with_output().expect("it ends");
        if was_killed(&output) {
            n_killed += 1;
        } else {
            assert!(output.status.success(), "{}", told(&output));
            // It was quicker: it goes back, to be killed another time.
            let back =
                places.moving(service, data.path(), &["--back"], "").wait_with_output().expect("it ends");
            assert!(back.status.success(), "{}", told(&back));
        }
    }
    for service in SERVICES {
        places.takes(service, data.path());
    }
    goes_on(&places, data.path(), written, &before);
}
