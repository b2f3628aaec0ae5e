//! A post, and at once a comment on it: comments may not have heard of the post yet, and must not say that it is not
//! there.

use serde_json::json;

use crate::blog::{Blog, SetUp, text};
use divisi_testkit::Http;

const PAIRS: usize = 1_000;

#[test]
fn a_comment_right_after_its_post_never_meets_a_404() {
    for set_up in [SetUp::Whole, SetUp::Split] {
        let data = tempfile::tempdir().expect("a directory");
        let blog = Blog::start(set_up, data.path());
        std::thread::scope(|scope| {
            for n in 0..4 {
                let address = blog.address;
                scope.spawn(move || {
                    let mut http = Http::new(address);
                    for pair in (n..PAIRS).step_by(4) {
                        let title = format!("post {pair}");
                        let reply = http.post("/posts", &json!({ "title": title }), None).expect("an answer");
                        assert_eq!(reply.status, 201, "{}", reply.json());
                        let path = format!("/posts/{}/comments", text(&reply.json()["id"]));
                        let reply =
                            http.post(&path, &json!({ "content": "first!" }), None).expect("an answer");
                        assert_eq!(reply.status, 201, "{set_up:?}: {}", reply.json());
                    }
                });
            }
        });
        blog.stop();
    }
}
