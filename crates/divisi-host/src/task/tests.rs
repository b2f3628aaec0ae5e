use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Notify, mpsc};

use super::*;

const WITHIN: Duration = Duration::from_secs(10);

fn tasks() -> (Tasks, Shutdown) {
    let shutdown = Shutdown::new();
    (Tasks::new(shutdown.clone()), shutdown)
}

fn task(name: &str, stage: Stage) -> Task {
    Task::new("posts", name, stage)
}

#[tokio::test]
async fn a_failure_that_stops_the_process_says_which_task_and_why() {
    let (tasks, shutdown) = tasks();
    tasks.spawn(task("listener", Stage::Accept), Failure::StopsProcess, |_| async {
        Err::<(), _>(std::io::Error::other("no memory"))
    });
    let reason = shutdown.requested().await;
    assert_eq!(reason.to_string(), "task `posts.listener` failed: no memory");
}

#[tokio::test]
async fn a_panic_is_a_failure_with_the_name_of_its_task() {
    let (tasks, shutdown) = tasks();
    tasks.spawn(task("relay", Stage::Consumers), Failure::StopsProcess, |_| async {
        if tokio::task::id().to_string().is_empty() {
            return Ok::<(), BoxError>(());
        }
        panic!("position {} went back", 7)
    });
    let reason = shutdown.requested().await;
    assert_eq!(reason.to_string(), "task `posts.relay` failed: it panicked: position 7 went back");
}

#[tokio::test]
async fn a_failure_that_is_logged_stops_nobody() {
    let (tasks, shutdown) = tasks();
    let ended = Arc::new(Notify::new());
    let tell = Arc::clone(&ended);
    tasks.spawn(task("sweep", Stage::Consumers), Failure::IsLogged, |_| async move {
        tell.notify_one();
        Err::<(), _>("the disk is full")
    });
    ended.notified().await;
    assert!(tasks.stop(WITHIN).await.is_clean());
    assert_eq!(shutdown.reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_restarts_waits_longer_after_each_failure_in_a_row() {
    let (tasks, _) = tasks();
    let (starts, mut started) = mpsc::unbounded_channel();
    tasks.spawn_restarting(task("consumer", Stage::Consumers), Backoff::default(), move |_| {
        let starts = starts.clone();
        async move {
            starts.send(tokio::time::Instant::now()).unwrap();
            Err::<(), _>("posts does not answer")
        }
    });
    let mut at = started.recv().await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..4 {
        let next = started.recv().await.unwrap();
        waits.push(next.duration_since(at).as_millis());
        at = next;
    }
    assert_eq!(waits, [100, 200, 400, 800]);
    assert!(tasks.stop(WITHIN).await.is_clean(), "it ends while it waits to be started again");
}

#[tokio::test]
async fn stages_end_in_order_and_steps_with_their_stage() {
    let (tasks, _) = tasks();
    let (ends, mut ended) = mpsc::unbounded_channel();
    for stage in [Stage::Stores, Stage::Accept, Stage::Consumers, Stage::Calls] {
        let ends = ends.clone();
        tasks.spawn(task("work", stage), Failure::IsLogged, move |stopping| async move {
            stopping.requested().await;
            // A later stage would be overtaken here if it were not waited for.
            tokio::task::yield_now().await;
            ends.send(stage).map_err(BoxError::from)
        });
    }
    let last = ends.clone();
    tasks.at_stop(
        task("close", Stage::Stores),
        async move { last.send(Stage::Stores).map_err(BoxError::from) },
    );
    drop(ends);
    assert!(tasks.stop(WITHIN).await.is_clean());
    let mut order = Vec::new();
    while let Some(stage) = ended.recv().await {
        order.push(stage);
    }
    assert_eq!(order, [Stage::Accept, Stage::Calls, Stage::Consumers, Stage::Stores, Stage::Stores]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stop_in_time_is_named_and_aborted() {
    let (tasks, _) = tasks();
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    tasks.spawn(task("stuck", Stage::Calls), Failure::IsLogged, |_| async move {
        let _inside = inside;
        pending::<Result<(), BoxError>>().await
    });
    tasks.at_stop(task("close", Stage::Stores), pending::<Result<(), BoxError>>());
    let since = tokio::time::Instant::now();
    let stopped = tasks.stop(WITHIN).await;
    assert_eq!(stopped.aborted, [task("stuck", Stage::Calls), task("close", Stage::Stores)]);
    assert!(since.elapsed() <= WITHIN, "took {:?}", since.elapsed());
    assert_eq!(Arc::strong_count(&held), 1, "the task is gone");
}

#[tokio::test]
async fn a_step_that_fails_is_reported_with_its_words() {
    let (tasks, _) = tasks();
    tasks.at_stop(task("close", Stage::Stores), async { Err::<(), _>("the disk is full") });
    let stopped = tasks.stop(WITHIN).await;
    assert_eq!(stopped.failed, [(task("close", Stage::Stores), "the disk is full".to_owned())]);
}

#[tokio::test]
async fn nothing_is_started_when_its_stage_has_passed() {
    let (tasks, _) = tasks();
    assert!(tasks.stop(WITHIN).await.is_clean());
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    tasks.spawn(task("late", Stage::Calls), Failure::IsLogged, move |_| async move {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<(), BoxError>(())
    });
    assert_eq!(tasks.running(), []);
    assert_eq!(Arc::strong_count(&runs), 1, "the work was dropped");
}

#[tokio::test]
async fn no_task_outlives_its_owner() {
    let (tasks, _) = tasks();
    let (alive, mut gone) = mpsc::channel::<()>(1);
    tasks.spawn(task("endless", Stage::Calls), Failure::IsLogged, |_| async move {
        let _alive = alive;
        pending::<Result<(), BoxError>>().await
    });
    drop(tasks);
    let gone = tokio::time::timeout(WITHIN, gone.recv()).await;
    assert_eq!(gone, Ok(None), "the task was dropped");
}
