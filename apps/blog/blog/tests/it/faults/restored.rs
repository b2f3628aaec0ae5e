//! F-36: a consumer's database is put back to an older copy. State and watermark go back together, so the log is read
//! again from there.

use std::path::Path;

use crate::blog::{Blog, SetUp, Writer};
use crate::scenario::quiet;
use crate::tables::Tables;

const READ_MODEL: &str = "query.posts.v1.db";

#[test]
fn a_read_model_that_was_put_back_reads_on_from_there_and_comes_to_the_same() {
    for set_up in [SetUp::Whole, SetUp::Split] {
        let data = tempfile::tempdir().expect("a directory");
        write(set_up, data.path(), 0..4);
        let copy = std::fs::read(data.path().join(READ_MODEL)).expect("the read model's file");
        write(set_up, data.path(), 4..9);
        let before = Tables::read(data.path());

        std::fs::write(data.path().join(READ_MODEL), copy).expect("the older copy");
        assert_ne!(Tables::read(data.path()).rows, before.rows, "the copy lacks what came after it");
        let blog = Blog::start(set_up, data.path());
        quiet(&mut Writer::new(blog.address), 9, 9);
        blog.stop();
        assert_eq!(Tables::read(data.path()), before, "{set_up:?}");
    }
}

/// Runs a blog for as long as it takes to write some posts with a comment each, and to judge them.
fn write(set_up: SetUp, data: &Path, posts: std::ops::Range<usize>) {
    let blog = Blog::start(set_up, data);
    let mut writer = Writer::new(blog.address);
    for n in posts.clone() {
        let post = writer.post(&format!("post {n}"), &format!("p{n}"));
        writer.comment(&post, &format!("comment {n}"), &format!("c{n}"));
    }
    quiet(&mut writer, posts.end, posts.end);
    blog.stop();
}
