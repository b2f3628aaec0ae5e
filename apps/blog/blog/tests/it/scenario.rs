//! One scenario, three set-ups, kills all the time: the same tables, the same events per key.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use divisi_testkit::eventually;

use crate::blog::{Blog, SET_UPS, SetUp, Writer};
use crate::tables::Tables;

pub(crate) const POSTS: usize = 24;
pub(crate) const ROUNDS: usize = 4;
const WRITERS: usize = 6;
/// One process is killed after so many acknowledged writes.
const WRITES_PER_KILL: usize = 12;

#[test]
fn the_same_work_leaves_the_same_tables_and_events_in_all_three_set_ups() {
    let outcomes = SET_UPS.map(|set_up| (set_up, in_files(set_up)));
    let (_, whole) = &outcomes[0];
    assert_eq!(whole.rows.len(), POSTS * (3 + 3 * ROUNDS), "{:#?}", whole.rows);
    for (set_up, tables) in &outcomes[1..] {
        assert_eq!(tables.rows, whole.rows, "{set_up:?} against one process");
        assert_eq!(tables.events, whole.events, "{set_up:?} against one process");
        assert_eq!(tables.hash(), whole.hash());
    }
}

/// A control: a hash that cannot tell two histories apart would prove nothing.
#[test]
fn one_comment_more_is_another_history() {
    let data = tempfile::tempdir().expect("a directory");
    let blog = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    quiet(&mut writer, 1, 0);
    blog.stop();
    let before = Tables::read(data.path()).hash();
    let blog = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(blog.address);
    writer.comment(&post, "a comment", "k2");
    quiet(&mut writer, 1, 1);
    blog.stop();
    assert_ne!(Tables::read(data.path()).hash(), before);
}

/// The work in a set-up that keeps its data in files.
pub(crate) fn in_files(set_up: SetUp) -> Tables {
    let data = tempfile::tempdir().expect("a directory");
    work(Blog::start(set_up, data.path()), || ());
    Tables::read(data.path())
}

/// Does the work, lets `done` look at the blog that has done it, and stops it.
pub(crate) fn work(blog: Blog, done: impl FnOnce()) {
    let blog = work_with_breaks(blog, |_, blog| blog);
    done();
    blog.stop();
}

/// Does the work, and between two rounds whatever `between` does to the blog.
pub(crate) fn work_with_breaks(mut blog: Blog, mut between: impl FnMut(usize, Blog) -> Blog) -> Blog {
    let random = Mutex::new(fastrand::Rng::with_seed(7));
    let written = AtomicUsize::new(0);
    let ids: Vec<Mutex<String>> = (0..POSTS).map(|_| Mutex::default()).collect();
    for round in 0..=ROUNDS {
        let address = blog.address;
        let running = Mutex::new(blog);
        let acknowledged = || {
            if (written.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(WRITES_PER_KILL) {
                let random = &mut *random.lock().expect("no writer panicked");
                running.lock().expect("no writer panicked").kill_one(random);
            }
        };
        std::thread::scope(|scope| {
            for n in 0..WRITERS {
                let (ids, acknowledged) = (&ids, &acknowledged);
                scope.spawn(move || {
                    let mut writer = Writer::new(address);
                    for post in (n..POSTS).step_by(WRITERS) {
                        let mut id = ids[post].lock().expect("no writer panicked");
                        let key = format!("{post}-{round}");
                        if round == 0 {
                            *id = writer.post(&format!("post {post}"), &key);
                        } else {
                            let fruit = if (post + round).is_multiple_of(3) { "Orange" } else { "apple" };
                            writer.comment(&id, &format!("{fruit} {round} of {post}"), &key);
                        }
                        acknowledged();
                    }
                });
            }
        });
        // A comment is judged before the next round, so that the order of events per key is one and the same.
        quiet(&mut Writer::new(address), POSTS, POSTS * round);
        blog = running.into_inner().expect("no writer panicked");
        if round < ROUNDS {
            blog = between(round, blog);
        }
    }
    blog
}

/// Waits until the read model has everything and every comment is judged.
pub(crate) fn quiet(writer: &mut Writer, n_posts: usize, n_comments: usize) {
    eventually(
        "a quiet blog",
        Duration::from_secs(30),
        || {
            let posts = writer.read("/posts?limit=100");
            let posts = posts.as_array().cloned().unwrap_or_default();
            let comments: Vec<_> = posts
                .iter()
                .flat_map(|post| post["comments"].as_array().cloned().unwrap_or_default())
                .collect();
            let judged = comments.iter().filter(|comment| comment["status"] != "pending").count();
            (posts.len(), comments.len(), judged)
        },
        |seen| *seen == (n_posts, n_comments, n_comments),
    );
}
