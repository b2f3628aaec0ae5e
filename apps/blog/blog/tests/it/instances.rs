//! The blog twice on the same databases: each instance of a service applies its share of the lanes.

use std::path::Path;
use std::time::Duration;

use divisi_servers::Postgres;
use divisi_testkit::{Http, eventually};

use crate::blog::{Blog, SetUp, Writer};
use crate::metrics::figures;
use crate::scenario::quiet;
use crate::server::wait;

const SERVICES: [&str; 4] = ["posts", "comments", "moderation", "query"];
const PATIENCE: Duration = Duration::from_secs(30);
const POSTS: usize = 48;

/// What both instances read, each an event a post: the reactions of services that have topics of their own, and the projection of
/// one that has none.
const READERS: [&str; 3] = [
    r#"consumer="comments",source="posts",topic="posts""#,
    r#"consumer="moderation",source="comments",topic="comments""#,
    r#"consumer="query.posts",version="1",source="posts",topic="posts""#,
];

#[test]
fn two_instances_share_the_lanes_and_the_one_that_stays_takes_those_of_the_one_that_goes() {
    let server = wait(Postgres::launch());
    for service in SERVICES {
        wait(server.sql(format!("CREATE DATABASE twice_{service}")));
    }
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [first, second] = directories.each_ref().map(|data| start(&server, data.path()));
    for blog in [&first, &second] {
        eventually("each has half", PATIENCE, || lanes(blog), |seen| *seen == [32; 3]);
        let ready = Http::new(blog.address).get("/readyz").expect("an answer");
        assert_eq!(ready.status, 200, "who applies half of the lanes is well");
    }
    let mut writers = [&first, &second].map(|blog| Writer::new(blog.address));
    write(&mut writers, 0);
    for (blog, writer) in [&first, &second].into_iter().zip(&mut writers) {
        quiet(writer, POSTS, POSTS);
        // An event is behind nobody, whichever instance has applied it.
        eventually("nothing is unread", PATIENCE, || unread(blog), |seen| *seen == [0; 3]);
    }
    let by_both = eventually(
        "every event is handled",
        PATIENCE,
        || [&first, &second].map(handled),
        |[a, b]| (0..3).all(|n| a[n] + b[n] >= POSTS as i64),
    );
    for (n, reader) in READERS.iter().enumerate() {
        let [by_first, by_second] = [by_both[0][n], by_both[1][n]];
        assert_eq!(by_first + by_second, POSTS as i64, "{reader} has handled each event once");
        assert!(by_first > 0 && by_second > 0, "{reader}: {by_first} and {by_second}");
    }
    first.stop();
    eventually("the other has all", PATIENCE, || lanes(&second), |seen| *seen == [64; 3]);
    let [_, mut writer] = writers;
    write(std::slice::from_mut(&mut writer), POSTS);
    quiet(&mut writer, 2 * POSTS, 2 * POSTS);
    let [before, _] = by_both;
    let all = || {
        let after = handled(&second);
        [0, 1, 2].map(|n| before[n] + after[n])
    };
    let all = eventually("every event is handled", PATIENCE, all, |all| {
        all.iter().min() >= Some(&(2 * POSTS as i64))
    });
    assert_eq!(all, [2 * POSTS as i64; 3], "each of them once");
    second.stop();
}

fn start(server: &Postgres, data: &Path) -> Blog {
    let url = server.url_for("postgres", "postgres", "twice_{service}");
    Blog::start_with(SetUp::Whole, data, |start| {
        start.variable("DIVISI_STORE__URL", url).variable("DIVISI_STORE__CONNECTIONS_MAX", "6")
    })
}

/// Posts with a comment each, by every writer in turn.
fn write(writers: &mut [Writer], from: usize) {
    for n in from..from + POSTS {
        let of = n % writers.len();
        let post = writers[of].post(&format!("post {n}"), &format!("p{n}"));
        writers[of].comment(&post, &format!("apple {n}"), &format!("c{n}"));
    }
}

fn lanes(blog: &Blog) -> [i64; 3] {
    of_readers(blog, "divisi_consumer_lanes")
}

fn handled(blog: &Blog) -> [i64; 3] {
    of_readers(blog, "divisi_consumer_handled_total")
}

fn unread(blog: &Blog) -> [i64; 3] {
    of_readers(blog, "divisi_consumer_unread_events")
}

/// What an instance counts of each reader; -1 where it counts nothing.
fn of_readers(blog: &Blog, name: &str) -> [i64; 3] {
    let seen = figures(blog.address);
    READERS.map(|reader| seen.get(&format!("{name}{{{reader}}}")).copied().unwrap_or(-1))
}
