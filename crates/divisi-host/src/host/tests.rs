use std::future::ready;

use tokio::sync::oneshot;

use super::saying;
use crate::health::{Health, State};

#[tokio::test]
async fn what_has_ended_for_good_is_said_in_health_while_the_rest_goes_on() {
    let health = Health::new();
    let component = health.component("search.posts");
    component.ready();
    let (done, works) = oneshot::channel();
    let working = tokio::spawn(async move {
        let why = ready("it reads no more of `posts`".to_owned());
        saying(&component, why, async { works.await.expect("a word") }).await
    });
    let report = health.until(|report| !report.live).await;
    let dead = State::Dead { reason: "it reads no more of `posts`".to_owned() };
    assert_eq!(report.components["search.posts"], dead);
    assert!(!working.is_finished(), "the rest goes on");
    done.send(7).expect("it listens");
    assert_eq!(working.await.expect("no panic"), 7);
}
