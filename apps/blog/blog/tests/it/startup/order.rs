//! Services come and go in whatever order, and what they missed is made up for.

use std::time::Duration;

use divisi_testkit::{Http, eventually};
use serde_json::json;

use crate::blog::{Writer, text};
use crate::crash::fleet::{ALL, Fleet};
use crate::crash::load::{Load, Written};
use crate::crash::truth::{SETTLES_WITHIN, broken, settles};

#[test]
fn services_may_start_in_any_order() {
    let mut orders = vec![ALL.to_vec()];
    orders.push(ALL.iter().rev().copied().collect());
    orders.push(vec!["query", "gateway", "comments", "posts", "moderation"]);
    let data = tempfile::tempdir().expect("a directory");
    let mut all = Written::default();
    for (n, order) in orders.into_iter().enumerate() {
        let mut fleet = Fleet::new(data.path());
        for name in order {
            fleet.start(name);
        }
        let load = Load::start(fleet.address(), &format!("order-{n}"), 2);
        load.goes_on(10);
        all.add(load.end());
        settles(fleet.address(), &all);
        fleet.stop_all();
    }
    assert_eq!(broken(data.path(), &all), Vec::<String>::new());
}

#[test]
fn comments_wait_for_moderation_and_are_judged_when_it_returns() {
    let data = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::started(data.path());
    fleet.stop("moderation");
    let load = Load::start(fleet.address(), "pending", 2);
    load.goes_on(20);
    let written = load.end();
    let mut reader = Writer::new(fleet.address());
    let statuses = |reader: &mut Writer| -> Vec<String> {
        let of_post = |id: &String| reader.read(&format!("/posts/{id}/comments"));
        let lists: Vec<_> = written.posts.keys().map(of_post).collect();
        lists
            .iter()
            .flat_map(|list| list.as_array().cloned().unwrap_or_default())
            .map(|it| text(&it["status"]))
            .collect()
    };
    assert_eq!(statuses(&mut reader), vec!["pending"; written.n_comments()]);
    fleet.start("moderation");
    eventually(
        "every comment is judged",
        SETTLES_WITHIN,
        || statuses(&mut reader),
        |all| !all.iter().any(|status| status == "pending"),
    );
    settles(fleet.address(), &written);
    fleet.stop_all();
    assert_eq!(broken(data.path(), &written), Vec::<String>::new());
}

/// Comments knows the posts that it has heard of; of others only posts can tell.
#[test]
fn without_posts_a_known_post_is_commented_and_an_unknown_one_is_not_now() {
    let data = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::started(data.path());
    let mut writer = Writer::new(fleet.address());
    let post = writer.post("a post", "k");
    // It is known to comments once the news of it has come, which the reader shows no later than this.
    let mut http = Http::new(fleet.address());
    let known = || {
        let connection = rusqlite::Connection::open(data.path().join("comments.db")).ok()?;
        connection.query_row("SELECT count(*) FROM posts_known", [], |row| row.get::<_, i64>(0)).ok()
    };
    eventually("comments knows the post", SETTLES_WITHIN, known, |n| *n == Some(1));
    fleet.kill("posts");
    let body = json!({ "content": "said while posts is away" });
    let reply = http.post(&format!("/posts/{post}/comments"), &body, None).expect("an answer");
    assert_eq!(reply.status, 201, "{}", reply.json());
    let reply = http.post("/posts/no-such-post/comments", &body, None).expect("an answer");
    assert_eq!(reply.status, 503, "{}", reply.json());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert!(reply.header("retry-after").is_some());
    let problem = reply.json();
    assert_eq!(problem["did_it_run"], "no", "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    fleet.start("posts");
    let unknown = || http.post("/posts/no-such-post/comments", &body, None).map(|reply| reply.status).ok();
    eventually("posts is asked again", Duration::from_secs(5), unknown, |status| *status == Some(404));
    fleet.stop_all();
}

/// Its files are gone, or it was never there: it reads everything from the beginning, then stays with the others.
#[test]
fn a_service_that_joins_late_reads_the_whole_history() {
    let data = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::new(data.path());
    for name in ["gateway", "posts", "comments", "moderation"] {
        fleet.start(name);
    }
    let load = Load::start(fleet.address(), "before", 3);
    load.goes_on(60);
    let mut written = load.end();
    fleet.start("query");
    settles(fleet.address(), &written);

    fleet.stop("query");
    for file in std::fs::read_dir(data.path()).expect("a directory").flatten() {
        if file.file_name().to_string_lossy().starts_with("query.") {
            std::fs::remove_file(file.path()).expect("a file less");
        }
    }
    let load = Load::start(fleet.address(), "meanwhile", 3);
    load.goes_on(20);
    fleet.start("query");
    load.goes_on(20);
    written.add(load.end());
    settles(fleet.address(), &written);
    fleet.stop_all();
    assert_eq!(broken(data.path(), &written), Vec::<String>::new());
}
