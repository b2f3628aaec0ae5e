//! Many who come and go at random: no wake-up is lost, and what was acknowledged is there.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use divisi_contract::{Answer, CallError, CauseKind};
use divisi_store::conformance::account::{add, cx, is_consistent};
use divisi_store::{Class, Store, Tx};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, fast, fixture};

const WRITERS: u64 = 24;
const TURNS: usize = 60;

/// Polls `future` at most `n` times; `None` if it was not ready then, and is dropped.
async fn within<T>(n: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|task| match future.as_mut().poll(task) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            polled += 1;
            if polled >= n { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// How many were certainly kept, and how many may have been.
async fn writer(store: Store, seed: u64) -> (i64, i64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut kept, mut unheard) = (0, 0);
    for _ in 0..TURNS {
        let account = format!("account-{}", random.u8(0..8));
        let fails = random.u8(0..4) == 0;
        let body = async |tx: &mut Tx| {
            let balance = add(tx, &account, 1).await?;
            if fails { Err(CallError::not_run(CauseKind::NotAllowed, "no")) } else { Ok(balance) }
        };
        let transaction = async {
            match random.u8(0..4) {
                0 => store.run(Class::Consumer, body).await.map(drop).map_err(|_| ()),
                _ => store.transact(&cx(), body).await.map(drop).map_err(|_: CallError| ()),
            }
        };
        let n_polls = seed as usize % 3 + 1;
        let dropped = fastrand::Rng::with_seed(seed ^ kept as u64).bool();
        let outcome: Option<Result<(), ()>> = match dropped {
            true => within(n_polls, transaction).await,
            false => tokio::select! {
                done = transaction => Some(done),
                () = hurry(seed) => None,
            },
        };
        match outcome {
            Some(Ok(())) => {
                assert!(!fails, "what failed is not acknowledged");
                kept += 1;
            }
            Some(Err(())) => assert!(fails, "nothing else fails here"),
            None if fails => {}
            None => unheard += 1,
        }
    }
    (kept, unheard)
}

/// Ready after a few rounds of the scheduler.
async fn hurry(seed: u64) {
    for _ in 0..seed % 50 + 5 {
        tokio::task::yield_now().await;
    }
}

async fn storm(seed: u64) {
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let mut writers = JoinSet::new();
    for writer_seed in 0..WRITERS {
        writers.spawn(writer(store.clone(), seed * 1_000 + writer_seed));
    }
    let all = tokio::time::timeout(Duration::from_secs(60), writers.join_all()).await;
    let all = all.unwrap_or_else(|_| panic!("seed {seed}: a wake-up was lost"));
    let (kept, unheard) = all.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // One more that waits for its answer: then every group before it has ended.
    let last: Answer<i64> = store.transact(&cx(), async |tx: &mut Tx| add(tx, "last", 1).await).await;
    last.expect("the store goes on");
    let total: i64 = is_consistent(&store).await.into_values().sum();
    let range = kept + 1..=kept + unheard + 1;
    assert!(range.contains(&total), "seed {seed}: {total} of {range:?}");
    assert!(backend.stats().members_max > 1, "seed {seed}: they did share commits");
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_among_many_who_come_and_go() {
    for seed in 0..8 {
        storm(seed).await;
    }
}

#[tokio::test]
async fn no_wake_up_is_lost_on_one_thread() {
    for seed in 100..104 {
        storm(seed).await;
    }
}

/// F-6: one of sixteen sleeps inside its transaction. Here it holds nobody up: it is undone where it would wait.
#[tokio::test(start_paused = true)]
async fn one_that_sleeps_in_its_transaction_holds_up_nobody() {
    let clock = divisi_store::Clock::simulated(1_700_000_000_000_000);
    let Fixture { store, backend, dir } = fixture(divisi_sqlite::Options::simulated(clock)).await;
    let began = tokio::time::Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let store = store.clone();
        writers.spawn(async move {
            for _ in 0..10 {
                let done: Answer<i64> = store
                    .transact(&cx(), async |tx: &mut Tx| {
                        let balance = add(tx, &format!("account-{writer}"), 1).await?;
                        if writer == 7 {
                            tokio::time::sleep(Duration::from_secs(5)).await;
                        }
                        Ok(balance)
                    })
                    .await;
                match done {
                    Ok(_) => assert_ne!(writer, 7),
                    Err(error) => {
                        assert_eq!(
                            error.cause().map(|cause| cause.kind),
                            Some(CauseKind::WaitedInTransaction)
                        );
                        assert_eq!(writer, 7);
                    }
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waited for it");
    let balances = is_consistent(&store).await;
    assert_eq!(balances.len(), 15);
    assert!(balances.values().all(|balance| *balance == 10), "{balances:?}");
    Fixture { store, backend, dir }.close_and_check().await;
}
