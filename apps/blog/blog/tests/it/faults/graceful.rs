//! An orderly end in the middle of everything: what had begun comes to its end, and nothing is done twice (F-53).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use divisi_testkit::Http;
use serde_json::json;

use crate::blog::{Blog, SET_UPS, text};
use crate::crash::fleet::{Fleet, free_address};
use crate::crash::load::{Load, Post, Written};
use crate::crash::needs_failpoints;
use crate::crash::truth::{broken, rows, settles};
use crate::tables::open;

#[test]
fn after_an_orderly_end_nothing_is_attempted_twice() {
    for set_up in SET_UPS {
        let data = tempfile::tempdir().expect("a directory");
        let start = |address| {
            Blog::start_with(set_up, data.path(), |start| {
                start.listening(address).variable("DIVISI_LOG__FILTER", "info,divisi_events=debug")
            })
        };
        let address = free_address();
        let blog = start(address);
        let load = Load::start(address, "background", 2);
        let once: Vec<_> = (0..4).map(|n| std::thread::spawn(move || write_once(address, n))).collect();
        load.goes_on(60);
        let said = blog.stop();
        for words in ["did not end in time", "are cut"] {
            assert!(!said.contains(words), "{set_up:?}: {words:?} in {said}");
        }
        let mut written = Written::default();
        for writer in once {
            written.add(writer.join().expect("a writer"));
        }
        // Whoever asked only once was answered if, and only if, it was done.
        assert_eq!(done_once(data.path()), titles(&written), "{set_up:?}");

        let blog = start(address);
        load.goes_on(20);
        written.add(load.end());
        settles(address, &written);
        let said = blog.stop();
        for words in ["skipped ", "watermark is read again", "another consumer of this name"] {
            assert!(!said.contains(words), "{set_up:?}: {words:?} in {said}");
        }
        assert_eq!(broken(data.path(), &written), Vec::<String>::new(), "{set_up:?}");
    }
}

/// The control: an end that is not orderly leaves something done that nobody was told of.
#[test]
fn after_a_kill_something_was_done_and_not_answered() {
    needs_failpoints();
    let data = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::new(data.path());
    fleet.start("gateway");
    fleet.start_failing("posts", "commit.after=kill@20");
    let address = fleet.address();
    let writer = std::thread::spawn(move || write_once(address, 0));
    fleet.killed_itself("posts");
    let written = writer.join().expect("a writer");
    let (done, answered) = (done_once(data.path()), titles(&written));
    assert_eq!((done.len(), answered.len()), (20, 19), "{done:?} {answered:?}");
    fleet.stop_all();
}

/// The titles of the posts of those who asked once, in order.
fn done_once(data: &Path) -> Vec<String> {
    rows(&open(&data.join("posts.db")), "SELECT title FROM posts WHERE title LIKE 'once-%' ORDER BY title")
}

fn titles(written: &Written) -> Vec<String> {
    let titles: BTreeSet<String> = written.posts.values().map(|post| post.title.clone()).collect();
    titles.into_iter().collect()
}

/// Writes until it is not answered, and then gives up.
fn write_once(address: SocketAddr, n: usize) -> Written {
    let mut http = Http::new(address);
    let mut written = Written::default();
    for at in 0.. {
        let title = format!("once-{n}-{at}");
        match http.post("/posts", &json!({ "title": title }), None) {
            Ok(reply) if reply.status == 201 => {
                let id = text(&reply.json()["id"]);
                written.posts.insert(id, Post { title, comments: Vec::new() });
            }
            _ => break,
        }
    }
    written
}
