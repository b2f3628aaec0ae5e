//! When the source begins a new epoch.

use divisi_contract::CallError;
use divisi_store::epoch::Fork;
use divisi_store::{Epoch, Lane, Pos};
use tokio::time::Instant;

use super::Make;
use super::bench::{Bench, LONG_MS, PATIENCE, places, soon, want, wanted};
use crate::epochs;
use crate::fetch::{Fetch, FetchRefused};

pub(super) async fn a_reader_of_an_older_epoch_is_told_at_once(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let first = bench.epoch().await;
    bench.note(&[1, 1, 2]).await;
    let second = bench.store.backend().begin_epoch(Epoch(0)).await.expect("an epoch begins");
    assert!(second > first);
    bench.note(&[1]).await;
    let began = Instant::now();
    for entered in [Epoch(0), first] {
        for max_records in [0, 512] {
            // One lane has entered, the other, which is idle, has not.
            let lanes = vec![wanted(second, 1, 3), wanted(entered, 8, 0)];
            let want = Fetch { lanes, max_records, wait_ms: LONG_MS, ..want(second, &[]) };
            let fetched = bench.fetch(want).await.expect("the log answers");
            assert_eq!(fetched.records, [], "nobody reads on before entering");
            assert_eq!(fetched.epochs.current(), second);
            assert!(fetched.epochs.known.contains(&first));
            assert!(fetched.epochs.forks.contains(&Fork { lane: Lane(1), epoch: second, fork: Pos(2) }));
            assert!(fetched.epochs.forks.iter().all(|fork| fork.lane != Lane(2)), "wanted lanes alone");
            assert_eq!(fetched.heads, [(Lane(1), Pos(3)), (Lane(8), Pos(0))]);
        }
    }
    assert!(began.elapsed() < PATIENCE.min(std::time::Duration::from_millis(LONG_MS.into())));
    // Who has entered is told the list when it asks for ends, and only the newest with records.
    let ends = bench.ask(&[(1, 3)], 0, 0).await;
    assert!(ends.epochs.known.contains(&first) && ends.epochs.forks.iter().any(|fork| fork.fork == Pos(2)));
    assert_eq!(bench.ask(&[(1, 2)], 512, 0).await.epochs.known, [second]);
    // Having entered, it reads what is left of the older epoch, and the new one.
    let fetched = bench.ask(&[(1, 0)], 512, 0).await;
    assert_eq!(places(&fetched), [(1, 1), (1, 2), (1, 3)]);
    let of: Vec<_> = fetched.records.iter().map(|record| record.epoch).collect();
    assert_eq!(of, [first, first, second], "each keeps the epoch that it was given in");
}

pub(super) async fn an_epoch_that_begins_ends_the_wait(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    let first = bench.epoch().await;
    bench.note(&[1, 1]).await;
    let asked = bench.ask_and_wait(Fetch { wait_ms: LONG_MS, ..want(first, &[(1, 2), (2, 0)]) }).await;
    let began = Instant::now();
    let second = bench.store.backend().begin_epoch(Epoch(0)).await.expect("an epoch begins");
    let fetched = soon("the answer", asked).await.expect("the log answers");
    assert!(began.elapsed().as_millis() < u128::from(LONG_MS) / 2, "at once, not at the end");
    assert_eq!((fetched.records.len(), fetched.epochs.current()), (0, second));
    let mine = divisi_store::Epochs { known: vec![first], forks: Vec::new() };
    let entered =
        epochs::enter(&fetched.epochs, &mine, Lane(1), Pos(2)).expect("there is an epoch in common");
    assert_eq!((entered.pos, entered.lost), (Pos(2), 0), "nothing was lost");
}

pub(super) async fn a_reader_of_a_later_epoch_gets_no_records(make: &Make<'_>) {
    let bench = Bench::new(make).await;
    bench.note(&[1, 1]).await;
    let source = bench.epoch().await;
    let later = Epoch(source.0 + 3_600_000_000);
    // The one owner of a database begins an epoch above the reader's; others must not answer.
    match bench.fetch(Fetch { wait_ms: LONG_MS, ..want(later, &[(1, 0)]) }).await {
        Ok(fetched) => {
            assert_eq!(fetched.records, []);
            assert!(fetched.epochs.current() > later);
            assert_eq!(fetched.epochs.current(), bench.epoch().await);
        }
        Err(CallError::Refused(FetchRefused::EpochAhead { current })) => assert_eq!(current, source),
        Err(error) => panic!("{error}"),
    }
    // No database ever gave such a number.
    let current = bench.epoch().await;
    let refused = bench.fetch(want(Epoch(i64::MAX), &[(1, 0)])).await.expect_err("it is not believed");
    assert_eq!(refused.refusal(), Some(&FetchRefused::EpochAhead { current }));
    assert_eq!(bench.epoch().await, current, "and nothing began");
}
