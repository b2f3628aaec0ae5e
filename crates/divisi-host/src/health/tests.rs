use serde_json::json;

use super::*;

#[tokio::test]
async fn the_process_is_ready_when_all_its_parts_are() {
    let health = Health::new();
    let (store, consumer) = (health.component("posts.store"), health.component("query.consumer"));
    store.ready();
    assert!(!health.report().ready);
    let waiting = tokio::spawn({
        let health = health.clone();
        async move { health.ready().await }
    });
    consumer.ready();
    waiting.await.unwrap();
    consumer.not_ready("posts does not answer");
    assert_eq!(
        serde_json::to_value(health.report()).unwrap(),
        json!({"ready": false, "live": true, "components": {
            "posts.store": {"state": "ready"},
            "query.consumer": {"state": "not_ready", "reason": "posts does not answer"},
        }})
    );
}

#[test]
fn a_dead_part_makes_the_process_dead_and_a_removed_one_nothing() {
    let health = Health::new();
    let store = health.component("posts.store");
    store.dead("the file is damaged");
    assert!(!health.report().live && !health.report().ready);
    store.remove();
    assert!(health.report().live && health.report().ready);
}

#[test]
fn a_part_that_is_lost_without_a_word_is_not_ready() {
    let health = Health::new();
    let consumer = health.component("query.consumer");
    consumer.ready();
    drop(consumer);
    let state = health.report().components.get("query.consumer").cloned();
    assert_eq!(state, Some(State::NotReady { reason: "it ended".into() }));
}

#[test]
fn a_part_that_is_lost_after_its_death_keeps_its_reason() {
    let health = Health::new();
    health.component("posts.store").dead("the file is damaged");
    let state = health.report().components.get("posts.store").cloned();
    assert_eq!(state, Some(State::Dead { reason: "the file is damaged".into() }));
}

#[test]
fn a_process_that_drains_is_not_ready_but_live() {
    let health = Health::new();
    let store = health.component("posts.store");
    store.ready();
    health.drain("received SIGTERM");
    let report = health.report();
    assert!(!report.ready && report.live);
    assert_eq!(report.draining.as_deref(), Some("received SIGTERM"));
}
