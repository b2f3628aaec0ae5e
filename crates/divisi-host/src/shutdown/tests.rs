use super::*;

#[tokio::test]
async fn the_first_reason_counts_and_everybody_sees_it() {
    let shutdown = Shutdown::new();
    let (early, late) = (shutdown.clone(), shutdown.clone());
    let waiting = tokio::spawn(async move { early.requested().await });
    assert!(shutdown.request(Reason::Signal("SIGTERM")));
    assert!(!shutdown.request(Reason::Asked("too late".into())));
    assert_eq!(waiting.await.unwrap(), Reason::Signal("SIGTERM"));
    assert_eq!(late.requested().await, Reason::Signal("SIGTERM"), "who asks later sees it too");
}

#[test]
fn a_failed_task_is_nobodys_wish() {
    assert!(Reason::Signal("SIGINT").is_wanted());
    assert!(!Reason::TaskFailed { task: "posts.tcp".into(), why: "no memory".into() }.is_wanted());
}

#[test]
fn the_shares_of_all_stages_are_the_whole_and_what_is_unused_passes_on() {
    let whole = Duration::from_secs(10);
    let mut left = whole;
    for stage in Stage::ALL {
        left -= stage.share(left);
    }
    assert_eq!(left, Duration::ZERO);
    assert_eq!(Stage::Accept.share(whole), Duration::from_secs(1));
    assert_eq!(Stage::Stores.share(whole), whole, "the last may use all that is left");
}
