//! What the log promises to those who read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use divisi_contract::Event;

use super::account::{Moved, add, cx, deposit, everything, open, whole_log};
use crate::backend::Stores;
use crate::epoch::Epoch;
use crate::outbox::{PageWanted, RECORDS_IN_TURN};
use crate::record::{Committed, Lane, Pos, Record};
use crate::store::Store;
use crate::transaction::Tx;

async fn fill(store: &Store, n: usize) {
    for i in 0..n {
        deposit(store, &format!("account-{}", i % 100), 1).await.expect("it commits");
    }
}

/// Positions are 1, 2, 3 … in each lane, also where a transaction has several events.
pub async fn positions_are_dense_in_each_lane(stores: &dyn Stores) {
    let store = open(stores, "dense").await;
    for round in 0..20 {
        let (_, positions) = store
            .transact_at(&cx(), async |tx: &mut Tx| {
                for account in 0..10 {
                    add(tx, &format!("account-{account}"), round).await?;
                }
                add(tx, "account-0", 1).await
            })
            .await
            .expect("it commits");
        assert_eq!(positions.len(), 11);
        assert_eq!(positions[0].lane, positions[10].lane);
        assert!(positions[0].pos < positions[10].pos, "in the order in which they were emitted");
    }
    assert_eq!(whole_log(&store).await.len(), 220);
}

/// A page serves the lanes in turn, in order, from where it was asked, and no more than it was asked for; always one
/// record.
pub async fn a_page_is_in_order_and_within_its_limits(stores: &dyn Stores) {
    let store = open(stores, "page").await;
    fill(&store, 200).await;
    let log = whole_log(&store).await;
    let mut lanes: BTreeMap<Lane, Vec<&Arc<Record>>> = BTreeMap::new();
    for record in &log {
        lanes.entry(record.lane).or_default().push(record);
    }
    let mut by_length: Vec<(Lane, usize)> =
        lanes.iter().map(|(lane, records)| (*lane, records.len())).collect();
    by_length.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let [(first, n_first), (second, _), ..] = by_length[..] else { panic!("200 events in one lane") };

    let wanted = |lanes: Vec<(Lane, Pos)>, max_records, max_bytes| PageWanted {
        topic: Arc::from(Moved::TOPIC),
        lanes,
        max_records,
        max_bytes,
    };
    let page = store
        .backend()
        .page(wanted(vec![(second, Pos(1)), (first, Pos(0))], 4, usize::MAX))
        .await
        .expect("a page");
    assert_eq!(page.records.len(), 4);
    assert_eq!((page.records[0].lane, page.records[0].pos), (second, Pos(2)), "the first wanted lane first");
    assert_eq!(page.heads[1], (first, Pos(n_first as i64)));
    assert_eq!(page.floors[1], (first, Pos(0)));

    let one = store.backend().page(wanted(vec![(first, Pos(0))], 100, 1)).await.expect("a page");
    assert_eq!(one.records.len(), 1, "one record, whatever its size");
    let end =
        store.backend().page(wanted(vec![(first, Pos(n_first as i64))], 100, 100_000)).await.expect("a page");
    assert!(end.records.is_empty());
    let ahead = store.backend().page(wanted(vec![(first, Pos(1_000))], 100, 100_000)).await.expect("a page");
    assert!(
        ahead.records.is_empty() && ahead.heads[0].1 == Pos(n_first as i64),
        "a reader that is ahead is told so"
    );

    let page = store.backend().page(everything()).await.expect("a page");
    let turns = page.records.chunk_by(|a, b| a.lane == b.lane);
    assert!(
        turns.clone().all(|turn| turn.len() <= RECORDS_IN_TURN || turn[0].lane == first),
        "lanes are served in turn"
    );
}

#[derive(Default)]
struct Heard {
    records: Mutex<Vec<Arc<Record>>>,
    forgot: Mutex<usize>,
}

impl Committed for Heard {
    fn committed(&self, records: &[Arc<Record>]) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(records);
    }

    fn forget(&self) {
        *self.forgot.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

/// The listener has heard of a commit before its caller has, in the order of commits, and of nothing else.
pub async fn the_listener_is_told_of_each_commit_in_order(stores: &dyn Stores) {
    let store = open(stores, "listener").await;
    let heard = Arc::new(Heard::default());
    store.backend().listen(Arc::clone(&heard) as Arc<dyn Committed>);
    for i in 0..20 {
        let (_, positions) = deposit(&store, &format!("account-{}", i % 3), 1).await.expect("it commits");
        deposit(&store, "account-0", -1_000).await.expect_err("below zero");
        let last = heard
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
            .map(|record| record.position());
        assert_eq!(last.as_ref(), positions.last(), "told before the caller");
    }
    let mut heard = heard.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
    heard.sort_by_key(|record| record.lane);
    let mut log = whole_log(&store).await;
    log.sort_by_key(|record| record.lane);
    assert_eq!(heard, log, "in order within each lane, and as they are in the log");
}

/// A new epoch is above what it was asked to be above, says where each lane ended, and goes on counting there.
pub async fn an_epoch_begins_above_every_other_and_remembers_the_forks(stores: &dyn Stores) {
    let store = open(stores, "epoch").await;
    let heard = Arc::new(Heard::default());
    store.backend().listen(Arc::clone(&heard) as Arc<dyn Committed>);
    let (_, before) = deposit(&store, "a", 1).await.expect("it commits");
    let above = Epoch(before[0].epoch.0 + 1_000_000_000_000);
    let epoch = store.backend().begin_epoch(above).await.expect("an epoch");
    assert!(epoch > above);
    assert_eq!(*heard.forgot.lock().unwrap_or_else(PoisonError::into_inner), 1);
    let (_, after) = deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!((after[0].epoch, after[0].pos), (epoch, before[0].pos.next()));
    let next = store.backend().begin_epoch(Epoch(0)).await.expect("an epoch");
    assert!(next > epoch, "above the stored one too");

    let page = store.backend().page(everything()).await.expect("a page");
    assert_eq!(page.epochs.current(), next);
    assert!(
        page.epochs.known.windows(2).all(|pair| pair[0] < pair[1]),
        "oldest first: {:?}",
        page.epochs.known
    );
    assert!(page.epochs.known.contains(&before[0].epoch) && page.epochs.known.contains(&epoch));
    let fork = |epoch| {
        page.epochs
            .forks
            .iter()
            .find(|fork| fork.lane == before[0].lane && fork.epoch == epoch)
            .map(|fork| fork.fork)
    };
    assert_eq!((fork(epoch), fork(next)), (Some(Pos(1)), Some(Pos(2))));
    let idle = page.epochs.forks.iter().filter(|fork| fork.lane != before[0].lane);
    let mut n_rows: BTreeMap<Lane, usize> = BTreeMap::new();
    idle.for_each(|fork| *n_rows.entry(fork.lane).or_default() += 1);
    assert!(n_rows.values().all(|n| *n <= 1), "an idle lane keeps one row, however many epochs");
}
