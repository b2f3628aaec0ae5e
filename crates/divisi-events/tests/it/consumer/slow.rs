//! F-46: a consumer that is slower than its source.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{Answer, Context};
use divisi_events::consumer::ConsumerOptions;
use divisi_events::consumer::options::QUEUE_BYTES_MAX;
use divisi_events::fetch::BYTES_MAX;
use divisi_events::{Feed, Fetch, FetchRefused, Fetched, Log};
use divisi_store::{Class, Lane, Pos, StoreError, Tx};

use super::pair::{Pair, Running, Sold};

/// Counts what a reader has been given and has not said to have applied.
struct Counting {
    log: Arc<Log>,
    in_hand: Mutex<BTreeMap<(Lane, Pos), usize>>,
}

impl Counting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Lane, Pos), usize>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes(&self) -> usize {
        self.lock().values().sum()
    }
}

impl Feed for Counting {
    fn fetch<'a>(&'a self, cx: &'a Context, want: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>> {
        Box::pin(async move {
            for told in &want.lanes {
                self.lock().retain(|(lane, pos), _| *lane != told.lane || *pos > told.applied);
            }
            let fetched = Feed::fetch(&*self.log, cx, want).await?;
            let given = fetched.records.iter().map(|record| ((record.lane, record.pos), record.size()));
            self.lock().extend(given);
            Ok(fetched)
        })
    }
}

/// The clock is paused: a minute is over as soon as nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_cannot_apply_has_two_answers_in_hand_at_the_most() {
    const EVENTS: i64 = 8_000;
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let counting = Arc::new(Counting { log: Arc::clone(&pair.log), in_hand: Mutex::default() });
    let running = pair.start_on(Arc::clone(&counting) as _);
    running.reached(&pair.sell("first", [0]).await).await;

    let busy = pair.ledger.backend().begin(Class::Call).await.expect("somebody else writes there");
    let mut last = Vec::new();
    for part in 0..EVENTS / 500 {
        let sold = pair.shop.run(Class::Call, async |tx: &mut Tx| {
            for n in part * 500..(part + 1) * 500 {
                tx.emit(Sold { item: format!("item-{}", n % 97), n });
            }
            Ok::<(), StoreError>(())
        });
        last.extend(sold.await.expect("the shop takes it").1);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let bytes = counting.bytes();
    let limit = QUEUE_BYTES_MAX + BYTES_MAX as usize;
    assert!((QUEUE_BYTES_MAX / 2..=limit).contains(&bytes), "{bytes} bytes in hand, {limit} is the limit");
    assert!(EVENTS as usize * 200 > 2 * limit, "the backlog is much more");

    drop(busy);
    running.reached(&last).await;
    let status = running.stop().await.status;
    assert_eq!(status.inputs[0].handled, EVENTS as u64 + 1);
    assert_eq!(pair.entries("item-5").await, (0..EVENTS).filter(|n| n % 97 == 5).collect::<Vec<_>>());
}

/// Where there are fewer transactions than lanes, a lane that always has more does not keep the others waiting.
#[tokio::test]
async fn lanes_take_turns_where_they_cannot_all_be_applied_at_once() {
    const EACH: i64 = 5;
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    let mut items: Vec<String> = Vec::new();
    for n in 0.. {
        let item = format!("item-{n}");
        if items.iter().all(|other| lane_of(other, LANES) != lane_of(&item, LANES)) {
            items.push(item);
        }
        if items.len() == 3 {
            break;
        }
    }
    let mut last = Vec::new();
    for item in &items {
        last.extend(pair.sell(item, 0..EACH).await);
    }
    let options = ConsumerOptions { transactions_max: 1, batch_events_max: 1, ..ConsumerOptions::default() };
    let running = Running::of(pair.consumer().options(options));
    running.reached(&last).await;
    running.stop().await;
    let entered = pair.all_entries().await;
    let place = |item: &String, n: i64| entered.iter().position(|entry| *entry == (item.clone(), n));
    for n in 1..EACH {
        for item in &items {
            let before = items.iter().map(|other| place(other, n - 1)).max();
            assert!(
                before < Some(place(item, n)),
                "{item} {n} comes before somebody's {}: {entered:?}",
                n - 1
            );
        }
    }
}
