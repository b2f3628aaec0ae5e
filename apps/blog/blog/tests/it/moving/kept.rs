//! What a service keeps beside its tables goes with it: keys that wait, and a log whose beginning is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use divisi_testkit::eventually;
use rusqlite::Connection;
use serde_json::Value;

use crate::blog::{Blog, SetUp, Writer};
use crate::crash::fleet::Fleet;
use crate::crash::load::Load;
use crate::crash::truth::{SETTLES_WITHIN, settles};
use crate::moving::Places;
use crate::operator::{ask, judge_again, judged, judgement};
use crate::scenario::quiet;
use crate::tables::open;

const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the blog in one process, with one service on the server.
fn with_comments_there(places: &Places, data: &std::path::Path) -> Blog {
    let (name, value) = places.variable("comments");
    Blog::start_with(SetUp::Whole, data, |start| start.variable(&name, value))
}

#[test]
fn a_key_that_was_parked_before_the_move_is_redriven_in_order_after_it() {
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let data = data.path();
    let blog = Blog::start(SetUp::Whole, data);
    let (post, comments) = judged(&blog, 1);
    let lost = comments[0].as_str();
    blog.stop();
    let file = open(&data.join("comments.db"));
    file.execute("DELETE FROM comments WHERE id = $1", [lost]).expect("a row");
    drop(file);
    judge_again(data, lost, &judgement(lost, &post, "rejected"));
    judge_again(data, lost, &judgement(lost, &post, "approved"));
    let parked = || ask(data, &["parked"])["parked"].as_array().cloned().unwrap_or_default();
    let both =
        |parked: &Vec<Value>| parked.first().is_some_and(|key| key["n_events"] == 2 && key["key"] == lost);
    let blog = Blog::start(SetUp::Whole, data);
    eventually("both events of the key are parked", PATIENCE, parked, both);
    blog.stop();

    places.takes("comments", data);
    let blog = with_comments_there(&places, data);
    eventually("both are parked still", PATIENCE, parked, both);
    let mended = format!("INSERT INTO comments VALUES ('{lost}', '{post}', 'apple 0', 'approved', 2)");
    places.sql("comments", &mended);
    ask(data, &["parked", "redrive", "comments", lost]);
    eventually("nothing is parked", PATIENCE, parked, Vec::is_empty);
    blog.stop();
    let row = places.sql("comments", &format!("SELECT status, version FROM comments WHERE id = '{lost}'"));
    assert_eq!(row, "approved|4", "judged once before, then rejected, then approved");
}

/// Query hears of comments while posts is down: their keys wait for posts that it does not know.
#[test]
fn keys_that_wait_for_their_cause_wait_on_after_the_move() {
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let data = data.path();
    let mut fleet = Fleet::new(data);
    for name in ["posts", "comments", "moderation", "gateway"] {
        fleet.start(name);
    }
    let load = Load::start(fleet.address(), "waiting", 3);
    load.goes_on(60);
    let written = load.end();
    fleet.stop("posts");
    fleet.start("query");
    let sql = "SELECT count(DISTINCT key) || ' ' || (SELECT count(*) FROM divisi_parked_event) FROM divisi_parked_key WHERE state = 'waiting'";
    let waiting = || {
        let file = Connection::open(data.join("query.posts.v1.db")).ok()?;
        file.query_row(sql, [], |row| row.get::<_, String>(0)).ok()
    };
    let n_events = 2 * written.n_comments();
    let all =
        format!("{} {n_events}", written.posts.values().filter(|post| !post.comments.is_empty()).count());
    eventually("all that was written waits", SETTLES_WITHIN, waiting, |found| found.as_ref() == Some(&all));
    fleet.stop("query");

    places.takes("query", data);
    assert_eq!(places.sql("query", &format!("SET search_path TO posts_v1; {sql}")), all);
    let (name, value) = places.variable("query");
    fleet.set(&name, value);
    fleet.start("query");
    fleet.start("posts");
    settles(fleet.address(), &written);
    fleet.stop_all();
    assert_eq!(places.sql("query", &format!("SET search_path TO posts_v1; {sql}")), "0 0");
}

#[test]
fn a_log_whose_beginning_is_forgotten_goes_on_where_it_ended() {
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let data = data.path();
    let blog = Blog::start(SetUp::Whole, data);
    let mut writer = Writer::new(blog.address);
    let posts: Vec<String> = (0..12).map(|n| writer.post(&format!("post {n}"), &format!("p{n}"))).collect();
    let comment = |writer: &mut Writer, round: usize| {
        for (n, post) in posts.iter().enumerate() {
            writer.comment(post, &format!("apple {round} of {n}"), &format!("{round}-{n}"));
        }
    };
    comment(&mut writer, 0);
    comment(&mut writer, 1);
    quiet(&mut writer, 12, 24);
    blog.stop();
    // As retention does it, when everybody has read: all of the even lanes, all but the last event of the others.
    let file = open(&data.join("comments.db"));
    file.execute_batch(
        "UPDATE divisi_lane SET floor_pos = (SELECT max(pos) - lane % 2 FROM divisi_outbox o WHERE o.lane = divisi_lane.lane) \
         WHERE lane IN (SELECT lane FROM divisi_outbox); \
         DELETE FROM divisi_outbox WHERE pos <= (SELECT floor_pos FROM divisi_lane l WHERE l.lane = divisi_outbox.lane)",
    )
    .expect("it is shortened");
    let lanes = "SELECT l.lane, l.floor_pos, coalesce(max(o.pos), 0) FROM divisi_lane l LEFT JOIN divisi_outbox o ON o.lane = l.lane \
                 WHERE l.floor_pos > 0 GROUP BY l.lane, l.floor_pos ORDER BY l.lane";
    let row = |row: &rusqlite::Row<'_>| {
        Ok(format!("{}|{}|{}", row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    };
    let before: Vec<String> =
        file.prepare(lanes).expect("a statement").query_map([], row).expect("rows").flatten().collect();
    drop(file);

    places.takes("comments", data);
    assert_eq!(places.sql("comments", lanes), before.join("\n"));
    let blog = with_comments_there(&places, data);
    let mut writer = Writer::new(blog.address);
    comment(&mut writer, 2);
    quiet(&mut writer, 12, 36);
    blog.stop();
    let firsts: BTreeMap<String, String> = places
        .sql("comments", "SELECT lane, min(pos) FROM divisi_outbox GROUP BY lane")
        .lines()
        .filter_map(|line| line.split_once('|').map(|(lane, pos)| (lane.to_owned(), pos.to_owned())))
        .collect();
    assert!(before.len() > 3, "{before:?}");
    for line in &before {
        let [lane, floor, _] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let next = floor.parse::<i64>().expect("a number") + 1;
        assert_eq!(firsts.get(lane), Some(&next.to_string()), "lane {lane}: {firsts:?}");
    }
}
