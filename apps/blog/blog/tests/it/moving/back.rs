//! The way back, as long as there is one.

use crate::blog::{Blog, SetUp, Writer};
use crate::command::{told, was_killed};
use crate::crash::needs_failpoints;
use crate::moving::{Places, start_refused};
use crate::scenario::quiet;
use crate::tables::Tables;

#[test]
fn a_move_is_taken_back_until_the_service_has_started_there() {
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let blog = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    writer.comment(&post, "an apple", "k2");
    quiet(&mut writer, 1, 1);
    blog.stop();
    let before = Tables::read(data.path());

    let nothing = places.refuses("comments", data.path(), &["--back"]);
    assert!(nothing.contains("no move of `comments`"), "{nothing}");
    places.takes("comments", data.path());
    let moved = start_refused("comments", data.path(), None);
    assert!(
        moved.contains("was moved to database `comments`") && moved.contains("services.comments.store"),
        "{moved}"
    );
    let back = places.moving("comments", data.path(), &["--back"], "").wait_with_output().expect("it ends");
    assert!(back.status.success(), "{}", told(&back));
    assert_eq!(
        places.sql("comments", "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "0"
    );
    assert_eq!(Tables::read(data.path()).hash(), before.hash());

    // It goes on in its file, and then there again.
    let blog = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(blog.address);
    writer.comment(&post, "another", "k3");
    quiet(&mut writer, 1, 2);
    blog.stop();
    places.takes("comments", data.path());
    let (name, value) = places.variable("comments");
    let blog = Blog::start_with(SetUp::Whole, data.path(), |start| start.variable(&name, value));
    let mut writer = Writer::new(blog.address);
    writer.comment(&post, "a third", "k4");
    quiet(&mut writer, 1, 3);
    blog.stop();
    let started = places.refuses("comments", data.path(), &["--back"]);
    assert!(
        started.contains("has started on database `comments`") && started.contains("no way back"),
        "{started}"
    );
}

#[test]
fn a_way_back_that_is_killed_is_ended_by_running_it_again_and_so_is_the_move() {
    needs_failpoints();
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let blog = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    writer.comment(&post, "an apple", "k2");
    quiet(&mut writer, 1, 1);
    blog.stop();
    for point in ["move.given_back=kill", "move.unmarked=kill"] {
        for next in [&["--back"][..], &[]] {
            places.takes("query", data.path());
            let output =
                places.moving("query", data.path(), &["--back"], point).wait_with_output().expect("it ends");
            assert!(was_killed(&output), "{point}: {}", told(&output));
            let there = start_refused("query", data.path(), Some(places.variable("query")));
            assert!(there.contains("unfinished move"), "{there}");
            let output = places.moving("query", data.path(), next, "").wait_with_output().expect("it ends");
            assert!(output.status.success(), "{point}: {}", told(&output));
            if next.is_empty() {
                let back =
                    places.moving("query", data.path(), &["--back"], "").wait_with_output().expect("it ends");
                assert!(back.status.success(), "{}", told(&back));
            }
            assert_eq!(
                places.sql("query", "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'posts_v%'"),
                "0"
            );
            let blog = Blog::start(SetUp::Whole, data.path());
            quiet(&mut Writer::new(blog.address), 1, 1);
            blog.stop();
        }
    }
}
