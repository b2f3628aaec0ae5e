//! What `/metrics` tells of a blog, in one process or in many.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use divisi_testkit::{Http, eventually};
use serde_json::json;

use crate::blog::{Blog, SET_UPS, SetUp};
use crate::operator::{ask, judge_again, judged, judgement};
use crate::tables::open;

const PATIENCE: Duration = Duration::from_secs(20);

/// What is counted now: by name with labels.
pub(crate) fn figures(address: SocketAddr) -> BTreeMap<String, i64> {
    let text = text(address);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a whole number")))
        .collect()
}

fn text(address: SocketAddr) -> String {
    let reply = Http::new(address).get("/metrics").expect("an answer");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    String::from_utf8(reply.body).expect("text")
}

#[test]
fn what_happened_is_counted_wherever_the_services_run() {
    for set_up in SET_UPS {
        let data = tempfile::tempdir().expect("a directory");
        let blog = Blog::start(set_up, data.path());
        judged(&blog, 2);
        let wanted = [
            (r#"divisi_service_up{service="posts"}"#, 1),
            (r#"divisi_service_up{service="query"}"#, 1),
            (r#"divisi_log_end{service="posts",topic="posts"}"#, 1),
            (r#"divisi_log_end{service="comments",topic="comments"}"#, 4),
            (r#"divisi_log_end{service="moderation",topic="moderation"}"#, 2),
            (
                r#"divisi_consumer_unread_events{consumer="query.posts",version="1",source="comments",topic="comments"}"#,
                0,
            ),
            (r#"divisi_consumer_oldest_unread_seconds{consumer="comments",source="posts",topic="posts"}"#, 0),
            (
                r#"divisi_consumer_gaps_total{consumer="query.posts",version="1",source="comments",topic="comments"}"#,
                0,
            ),
            (r#"divisi_consumer_falls_total{consumer="comments",source="moderation",topic="moderation"}"#, 0),
            (r#"divisi_parked_keys{consumer="query.posts",version="1",state="dead"}"#, 0),
            (r#"divisi_calls_refused_total{service="posts"}"#, 0),
        ];
        let seen = eventually(
            "everything is counted",
            PATIENCE,
            || figures(blog.address),
            |seen| wanted.iter().all(|(name, value)| seen.get(*name) == Some(value)),
        );
        let epoch = seen.get(r#"divisi_log_epoch{service="posts",topic="posts"}"#);
        assert!(epoch.is_some_and(|epoch| *epoch > 0), "{set_up:?}: {seen:?}");
        let entered =
            r#"divisi_consumer_epoch{consumer="query.posts",version="1",source="posts",topic="posts"}"#;
        assert_eq!(seen.get(entered), epoch, "{set_up:?}");
        // A comment that comes before its post waits with those behind it, and they are applied apart from their lane.
        let handled = r#"divisi_consumer_handled_total{consumer="query.posts",version="1",source="comments",topic="comments"}"#;
        assert!(seen.get(handled).is_some_and(|n| (1..=4).contains(n)), "{set_up:?}: {seen:?}");
        let committed = |what| seen.get(what).is_some_and(|n| *n > 0);
        assert!(committed(r#"divisi_store_transactions_total{service="posts"}"#), "{set_up:?}: {seen:?}");
        let of_projection = r#"divisi_store_commits_total{consumer="query.posts",version="1"}"#;
        assert!(committed(of_projection), "{set_up:?}: {seen:?}");
        assert!(committed(r#"divisi_store_wal_bytes{service="comments"}"#), "{set_up:?}: {seen:?}");
        assert!(seen.contains_key(r#"divisi_store_waiting_transactions{service="comments"}"#), "{seen:?}");
        let told = r#"divisi_reader_unread_events{service="comments",topic="comments",reader="query.posts"}"#;
        assert!(seen.contains_key(told), "{set_up:?}: {seen:?}");
        let served = seen.get("divisi_calls_served_total");
        assert_eq!(served.is_some_and(|n| *n > 0), set_up == SetUp::OverTcp, "{set_up:?}: {served:?}");
        let text = text(blog.address);
        assert!(text.contains("# TYPE divisi_log_end gauge\n"), "{text}");
        assert!(text.contains("# TYPE divisi_consumer_handled_total counter\n"), "{text}");
        let refused = Http::new(blog.address).post("/metrics", &json!({}), None).expect("an answer");
        assert_eq!(refused.status, 405);
        blog.stop();
    }
}

#[test]
fn a_parked_key_is_counted_until_it_is_mended() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    let blog = Blog::start(SetUp::Whole, data);
    let (post, comments) = judged(&blog, 1);
    blog.stop();
    let file = data.join("comments.db");
    open(&file).execute("CREATE TABLE aside AS SELECT * FROM comments", []).expect("a copy");
    open(&file).execute("DELETE FROM comments", []).expect("a row");
    judge_again(data, &comments[0], &judgement(&comments[0], &post, "rejected"));
    let blog = Blog::start(SetUp::Whole, data);
    let parked = |address| {
        let seen = figures(address);
        let dead = seen.get(r#"divisi_parked_keys{consumer="comments",state="dead"}"#).copied();
        (dead, seen.get(r#"divisi_parked_events{consumer="comments"}"#).copied())
    };
    eventually("it is parked", PATIENCE, || parked(blog.address), |now| *now == (Some(1), Some(1)));
    open(&file).execute("INSERT INTO comments SELECT * FROM aside", []).expect("the row is back");
    ask(data, &["parked", "redrive", "comments", &comments[0]]);
    eventually("it is mended", PATIENCE, || parked(blog.address), |now| *now == (Some(0), Some(0)));
    blog.stop();
}
