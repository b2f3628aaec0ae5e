//! A projection is built anew while it is read and while events arrive, and the process is killed at every step.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use divisi_testkit::process::Start;
use divisi_testkit::{Http, eventually};
use rusqlite::Connection;
use rustix::process::Signal;

use crate::blog::{Blog, SetUp, Writer};
use crate::tables::open;

/// The points that a rebuild passes, in order.
const STEPS: [&str; 6] = [
    "rebuild.begun",
    "rebuild.opened",
    "rebuild.caught_up",
    "rebuild.paused",
    "rebuild.before_flip",
    "rebuild.after_flip",
];
/// How much history there is before.
const POSTS: usize = 40;

#[test]
fn readers_never_go_back_while_a_projection_is_rebuilt_and_killed_at_every_step() {
    let data = tempfile::tempdir().expect("a directory");
    let blog = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(blog.address);
    for n in 0..POSTS {
        let post = writer.post(&format!("post {n}"), &format!("p{n}"));
        writer.comment(&post, "a comment", &format!("c{n}"));
    }
    crate::scenario::quiet(&mut writer, POSTS, POSTS);
    let address = blog.address;
    blog.stop();

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_until(&done, address));
        let reading = scope.spawn(|| read_until(&done, address));
        let finished = Finished(&done);
        for (n, step) in STEPS.iter().enumerate() {
            let start = Start::new(env!("CARGO_BIN_EXE_blog"), data.path()).listening(address);
            let start = start.variable("DIVISI_FAIL", format!("{step}=kill"));
            // The first start asks for it; the others find it under way.
            let mut process =
                if n == 0 { start.with("--rebuild").with("query.posts") } else { start }.spawn();
            let status = process.ended();
            assert_eq!(
                status.signal(),
                Some(Signal::KILL.as_raw()),
                "{step}: {status}\n{}",
                process.all_output()
            );
        }
        let blog = Blog::start_with(SetUp::Whole, data.path(), |start| start.listening(address));
        eventually(
            "the new version serves",
            Duration::from_secs(10),
            || active(data.path()),
            |active| *active == 2,
        );
        drop(finished);
        let written = writing.join().expect("the writer found nothing wrong");
        reading.join().expect("the reader found nothing wrong");
        let mut writer = Writer::new(address);
        let all = POSTS + written;
        eventually(
            "every post is there",
            Duration::from_secs(10),
            || count(&mut writer),
            |seen| *seen == all,
        );
        blog.stop();
    });
    assert_eq!(
        truth(&open(&data.path().join("posts.db"))),
        truth(&open(&data.path().join("query.posts.v2.db")))
    );
}

/// Lets the others end, also when the test fails before.
struct Finished<'a>(&'a AtomicBool);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn write_until(done: &AtomicBool, address: std::net::SocketAddr) -> usize {
    let mut writer = Writer::new(address);
    let mut n = 0;
    while !done.load(Ordering::SeqCst) {
        writer.post(&format!("meanwhile {n}"), &format!("m{n}"));
        n += 1;
    }
    n
}

/// A post that was seen is seen again, and a comment that was judged stays judged.
fn read_until(done: &AtomicBool, address: std::net::SocketAddr) {
    let mut http = Http::new(address);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut newest = String::new();
    while !done.load(Ordering::SeqCst) {
        let Ok(reply) = http.get("/posts?limit=100") else { continue };
        if reply.status != 200 {
            continue;
        }
        let posts = reply.json();
        let posts = posts.as_array().expect("a list");
        let top = posts.first().map(|post| crate::blog::text(&post["id"])).unwrap_or_default();
        assert!(top >= newest, "the newest post was {newest} and is {top}: an older version was read");
        newest = top;
        for post in posts {
            let judged = post["comments"]
                .as_array()
                .map_or(0, |all| all.iter().filter(|c| c["status"] != "pending").count());
            let before = seen.insert(crate::blog::text(&post["id"]), judged).unwrap_or(0);
            assert!(judged >= before, "a judged comment of {} is gone", post["id"]);
        }
    }
}

fn count(writer: &mut Writer) -> usize {
    let mut n = 0;
    let mut after = String::new();
    loop {
        let page = writer.read(&format!("/posts?limit=100{after}"));
        let page = page.as_array().cloned().unwrap_or_default();
        n += page.len();
        match page.last() {
            None => return n,
            Some(last) => after = format!("&after={}", last["id"].as_str().unwrap_or_default()),
        }
    }
}

fn active(data: &std::path::Path) -> i64 {
    let connection = Connection::open(data.join("query.db")).expect("the service's store");
    connection
        .query_row("SELECT active FROM divisi_projection WHERE name = 'posts'", [], |row| row.get(0))
        .unwrap_or(0)
}

fn truth(connection: &Connection) -> Vec<(String, String)> {
    let mut statement = connection.prepare("SELECT id, title FROM posts ORDER BY id").expect("posts");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("text")
}
