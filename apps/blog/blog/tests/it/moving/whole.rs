//! A blog whose services move one after the other, between the rounds of its work.

use std::time::Duration;

use divisi_testkit::eventually;

use crate::blog::{Blog, SetUp, Writer};
use crate::command::{binary, told};
use crate::engines::carried;
use crate::moving::{Places, SERVICES, command};
use crate::scenario::{POSTS, ROUNDS, in_files, quiet, work_with_breaks};
use crate::server::wait;

#[test]
fn services_that_move_in_the_middle_of_their_work_end_as_those_that_never_moved() {
    let stayed = in_files(SetUp::Whole);
    for set_up in [SetUp::Whole, SetUp::Split] {
        let moved = moves_one_after_the_other(set_up, [""; 5]);
        assert_eq!(moved.rows, stayed.rows, "{set_up:?}");
        assert_eq!(moved.events, stayed.events, "{set_up:?}");
        assert_eq!(moved.hash(), stayed.hash());
    }
}

#[test]
fn a_carrier_goes_on_with_services_that_move() {
    let stayed = in_files(SetUp::Whole);
    let nats = wait(divisi_servers::Nats::launch());
    let moved = moves_one_after_the_other(SetUp::Split, [&nats.url(); 5]);
    assert_eq!(moved.rows, stayed.rows);
    assert_eq!(moved.events, stayed.events);
}

/// None, NATS, Kafka, none, NATS: each is there between two moves.
#[test]
fn carriers_come_and_go_while_services_move() {
    let stayed = in_files(SetUp::Whole);
    let (nats, kafka) = (wait(divisi_servers::Nats::launch()), wait(divisi_servers::Kafka::launch()));
    let (on_nats, on_kafka) = (nats.url(), format!("kafka://{}", kafka.url()));
    let moved = moves_one_after_the_other(SetUp::Whole, ["", &on_nats, &on_kafka, "", &on_nats]);
    assert_eq!(moved.rows, stayed.rows);
    assert_eq!(moved.events, stayed.events);
}

/// Does the work with a move between two rounds, and in each round beside its carrier.
fn moves_one_after_the_other(set_up: SetUp, carriers: [&str; 5]) -> crate::tables::Tables {
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let start = |there: &[&str]| {
        Blog::start_with(set_up, data.path(), |start| {
            let start = start
                .variable("DIVISI_STORE__CONNECTIONS_MAX", "6")
                .variable("DIVISI_CARRIER__URL", carriers[there.len()])
                .variable("DIVISI_CARRIER__REPLICAS", "1");
            there.iter().fold(start, |start, service| {
                let (name, value) = places.variable(service);
                start.variable(&name, value)
            })
        })
    };
    let blog = work_with_breaks(start(&[]), |round, blog| {
        blog.stop();
        let setting = places.takes(SERVICES[round], data.path());
        assert_eq!(
            setting,
            format!("services.{0}.store = \"{1}\"\n", SERVICES[round], places.url(SERVICES[round]))
        );
        start(&SERVICES[..=round])
    });
    if let Some(carrier) = carriers.last().filter(|carrier| !carrier.is_empty()) {
        // From the first event, in a file, to the last, on the server: each comment was created and judged.
        let all = (2 * POSTS * ROUNDS) as i64;
        let carried = || carried(carrier, "comments");
        eventually("all of comments' events on the carrier", Duration::from_secs(60), carried, |n| *n == all);
    }
    blog.stop();
    places.tables(data.path(), &SERVICES)
}

/// Of two who write under one key, one before the move and one after it, the second hears what the first was told.
#[test]
fn a_key_that_was_used_before_the_move_brings_its_answer_after_it() {
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let blog = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    let comment = writer.comment(&post, "an apple", "k2");
    quiet(&mut writer, 1, 1);
    blog.stop();
    places.takes("comments", data.path());
    let (name, value) = places.variable("comments");
    let blog = Blog::start_with(SetUp::Whole, data.path(), |start| start.variable(&name, value));
    let mut writer = Writer::new(blog.address);
    assert_eq!(writer.comment(&post, "an apple", "k2"), comment);
    writer.comment(&post, "another", "k3");
    quiet(&mut writer, 1, 2);
    blog.stop();
    assert_eq!(places.sql("comments", "SELECT count(*) FROM comments"), "2");
}

/// As a user has it: databases made by `provision`, whose roles may open their own alone; no password on a command line.
#[test]
fn what_provision_has_made_takes_in_what_was_in_files() {
    let (server, data) =
        (wait(divisi_servers::Postgres::launch()), tempfile::tempdir().expect("a directory"));
    let blog = Blog::start(SetUp::Whole, data.path());
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    writer.comment(&post, "an apple", "k2");
    quiet(&mut writer, 1, 1);
    blog.stop();
    let provisioned = binary().args(["provision", "--postgres", &server.url()]).output();
    let provisioned = provisioned.expect("the blog runs");
    assert!(provisioned.status.success(), "{}", told(&provisioned));
    let file = data.path().join("divisi.toml");
    std::fs::write(&file, &provisioned.stdout).expect("a file");
    let config = ["--config", file.to_str().expect("text")];
    for service in SERVICES {
        let moved =
            command(&["move", service], data.path(), &config, "").wait_with_output().expect("it ends");
        assert!(moved.status.success(), "{}", told(&moved));
    }
    let blog = Blog::start_with(SetUp::Split, data.path(), |start| start.with(config[0]).with(config[1]));
    let mut writer = Writer::new(blog.address);
    writer.comment(&post, "another", "k3");
    quiet(&mut writer, 1, 2);
    blog.stop();
}
