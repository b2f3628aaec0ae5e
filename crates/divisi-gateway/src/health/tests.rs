use std::future::pending;

use super::*;

/// Knows that it lives, and never finds out more.
struct Undecided;

impl Health for Undecided {
    fn live(&self) -> Report {
        Report::well()
    }
    fn ready(&self) -> BoxFuture<'_, Report> {
        Box::pin(pending())
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_that_cannot_be_found_out_is_not_ready() {
    assert_eq!(answer_to(Some(&Undecided), Question::Live).await.status(), StatusCode::OK);
    let answer = answer_to(Some(&Undecided), Question::Ready).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
    assert_eq!(body, r#"{"status":"not ready","reasons":["readiness could not be found out in time"]}"#);
}
