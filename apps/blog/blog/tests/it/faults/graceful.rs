//! An orderly end in the middle of everything: what had begun comes to its end, and nothing is done twice (F-53).

use std::net::SocketAddr;

use divisi_testkit::Http;
use serde_json::json;

use crate::blog::{Blog, SET_UPS, text};
use crate::crash::fleet::free_address;
use crate::crash::load::{Load, Post, Written};
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
        let mut titles: Vec<String> = written.posts.values().map(|post| post.title.clone()).collect();
        titles.sort_unstable();
        let sql = "SELECT title FROM posts WHERE title LIKE 'once-%' ORDER BY title";
        assert_eq!(rows(&open(&data.path().join("posts.db")), sql), titles, "{set_up:?}");

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
