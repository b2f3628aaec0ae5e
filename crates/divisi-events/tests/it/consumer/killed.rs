//! The process is killed at every point at which a consumer's work could be torn apart.
//!
//! The test starts itself as a child that consumes until a failpoint kills it, and then looks at the files.

use std::path::Path;
use std::process::{Command, ExitStatus};

use super::pair::{PATIENCE, Pair};

const DIR: &str = "DIVISI_TEST_KILLED_DIR";
const N_EVENTS: i64 = 60;

/// The child: consumes what the shop has sold, until all of it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the other tests of this file, as a process of its own"]
async fn child() {
    let dir = std::env::var(DIR).expect("the parent says where");
    let pair = Pair::open(Path::new(&dir)).await;
    let running = pair.start();
    let done = running.observer.until(|status| {
        status.inputs[0].lanes.iter().map(|lane| lane.pos.0).sum::<i64>() == N_EVENTS * ITEMS.len() as i64
    });
    tokio::time::timeout(PATIENCE, done).await.expect("all of it is read in time");
    running.stop().await;
    pair.close().await;
}

const ITEMS: [&str; 3] = ["a", "b", "poison"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_transaction() {
    survives("consumer.before").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_handlers_before_the_commit() {
    survives("consumer.handled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_commit_and_answer() {
    survives("commit.after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_commit() {
    survives("consumer.after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_parking_and_the_watermark() {
    survives("parked.before_watermark").await;
}

/// Kills the child at the first, the second and the fourth passing, one after the other, and then lets it end.
async fn survives(point: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    for n in 1..=N_EVENTS {
        for item in ITEMS {
            pair.sell(item, [n]).await;
        }
    }
    pair.close().await;
    for at in [1, 2, 4] {
        let ended = child_with(dir.path(), &format!("{point}=kill@{at}"));
        // Parking happens once: later children do not pass the point any more.
        assert!(!ended.success() || at > 1, "the child was killed at {point}");
        let pair = Pair::open(dir.path()).await;
        for item in ITEMS {
            let entries = pair.entries(item).await;
            assert_eq!(entries, (1..).take(entries.len()).collect::<Vec<_>>(), "a prefix of {item}");
        }
        pair.close().await;
    }
    let ended = child_with(dir.path(), "");
    assert!(ended.success(), "nothing kills it now");
    let pair = Pair::open(dir.path()).await;
    for item in ["a", "b"] {
        assert_eq!(pair.entries(item).await, (1..=N_EVENTS).collect::<Vec<_>>(), "{item}, after {point}");
    }
    let parked = pair.consumer().parked().counts().await.expect("counts");
    assert_eq!((parked.dead, parked.events), (1, N_EVENTS), "the poison is parked once, with all its events");
    pair.close().await;
}

fn child_with(dir: &Path, fail: &str) -> ExitStatus {
    let exe = std::env::current_exe().expect("the test knows its own file");
    Command::new(exe)
        .args(["--exact", "consumer::killed::child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env("DIVISI_FAIL", fail)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("the child starts")
}
