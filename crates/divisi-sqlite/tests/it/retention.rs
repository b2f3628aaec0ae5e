//! What a log forgets, and what it keeps for its readers.

use std::time::Duration;

use divisi_contract::Event;
use divisi_sqlite::{Options, Sqlite, retention};
use divisi_store::conformance::account::{Moved, deposit, everything};
use divisi_store::{Class, Clock, Store, StoreError, Tx, TxFailed, params};

use crate::fixture::{name, schema};

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn reader_is_at(store: &Store, epoch: i64, pos: i64) {
    let moved: Result<(u64, _), TxFailed<StoreError>> = store
        .run(Class::Consumer, async |tx: &mut Tx| {
            tx.execute("UPDATE divisi_reader SET epoch = $1, pos = $2", params![epoch, pos]).await
        })
        .await;
    moved.expect("the reader is told of");
}

/// How many records there are, and the floor and the head of the one lane that is used.
async fn lane(store: &Store) -> (usize, i64, i64) {
    let mut wanted = everything();
    let lane = divisi_contract::event::lane_of("a", 64);
    wanted.lanes.retain(|(wanted, _)| wanted.0 == lane);
    let (floor, head) = {
        let page = store.backend().page(wanted.clone()).await.expect("a page");
        (page.floors[0].1, page.heads[0].1)
    };
    wanted.lanes[0].1 = floor;
    let page = store.backend().page(wanted).await.expect("a page");
    assert!(
        page.records.iter().zip(floor.0 + 1..).all(|(record, pos)| record.pos.0 == pos),
        "dense above the floor"
    );
    (page.records.len(), floor.0, head.0)
}

#[tokio::test(start_paused = true)]
async fn what_is_old_and_read_is_forgotten_and_the_floor_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let sqlite = Sqlite::new(dir.path(), Options::simulated(Clock::simulated(1_700_000_000_000_000)));
    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("it opens");
    for _ in 0..1_500 {
        deposit(&store, "a", 1).await.expect("it commits");
    }
    let forget = async || retention::forget(&store, Moved::TOPIC, DAY).await.expect("it may forget");
    assert_eq!(forget().await, 0, "nothing is old");
    tokio::time::advance(2 * DAY).await;
    assert_eq!(forget().await, 0, "the reader has read nothing");
    let epoch = store.backend().page(everything()).await.expect("a page").epochs.current();
    reader_is_at(&store, epoch.0, 10).await;
    assert_eq!(forget().await, 10, "what the reader has");
    assert_eq!(lane(&store).await, (1_490, 10, 1_500));

    deposit(&store, "a", 1).await.expect("it commits");
    reader_is_at(&store, epoch.0, 1_501).await;
    assert_eq!(forget().await, 1_490, "in several steps, and what is young stays");
    assert_eq!(lane(&store).await, (1, 1_500, 1_501));
    tokio::time::advance(2 * DAY).await;
    assert_eq!(forget().await, 1);
    assert_eq!(lane(&store).await, (0, 1_501, 1_501), "an empty lane still knows its end");
    store.close().await;

    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("it opens");
    let (_, positions) = deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!(positions[0].pos.0, 1_502, "no position is used twice");
    store.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_given_back_to_the_file_system() {
    let dir = tempfile::tempdir().expect("a directory");
    let sqlite = Sqlite::new(dir.path(), Options::simulated(Clock::simulated(1_700_000_000_000_000)));
    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("it opens");
    // As much as events of 12 MiB, in one transaction each.
    for n in 0..60 {
        let body = vec![7_u8; 200 * 1024];
        let wrote: Result<(u64, _), TxFailed<StoreError>> = store
            .run(Class::Consumer, async |tx: &mut Tx| {
                tx.execute("INSERT INTO body (id, bytes) VALUES ($1, $2)", params![n, &*body]).await
            })
            .await;
        wrote.expect("it is written");
    }
    deposit(&store, "a", 1).await.expect("it commits");
    let epoch = store.backend().page(everything()).await.expect("a page").epochs.current();
    reader_is_at(&store, epoch.0, 1).await;
    let removed: Result<(u64, _), TxFailed<StoreError>> =
        store.run(Class::Consumer, async |tx: &mut Tx| tx.execute("DELETE FROM body", &[]).await).await;
    removed.expect("it is removed");
    let pages = async || {
        let counts = async |read: &mut divisi_store::Read| {
            let (free,): (i64,) = read.query_one("PRAGMA freelist_count", &[]).await?;
            Ok::<_, StoreError>(free)
        };
        store.read(counts).await.expect("the pages are counted")
    };
    let before = pages().await;
    assert!(before > 2 * retention::PAGES_KEPT, "{before} free pages");
    tokio::time::advance(2 * DAY).await;
    assert_eq!(retention::forget(&store, Moved::TOPIC, DAY).await.expect("it may forget"), 1);
    let after = pages().await;
    assert!((retention::PAGES_KEPT - 64..=retention::PAGES_KEPT).contains(&after), "{after} free pages");
    store.close().await;
    let length = std::fs::metadata(dir.path().join("bank.db")).expect("the file").len() as i64;
    assert!(length < (before / 2) * 4096, "{length} bytes, and there were {before} free pages of 4 KiB");
}

/// As a dump that was read in is; it must only end.
#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_become_shorter_stays_as_long_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let sqlite = Sqlite::new(dir.path(), Options::simulated(Clock::simulated(1_700_000_000_000_000)));
    let path = dir.path().join("bank.db");
    sqlite.open_store(&name(), &schema()).await.expect("it opens").0.close().await;
    let edit = rusqlite::Connection::open(&path).expect("the file opens");
    edit.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM")
        .expect("another kind of file");
    drop(edit);
    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("it opens");
    let body = vec![7_u8; 6 << 20];
    let wrote: Result<(u64, _), TxFailed<StoreError>> = store
        .run(Class::Consumer, async |tx: &mut Tx| {
            tx.execute("INSERT INTO body (id, bytes) VALUES ($1, $2)", params![1_i64, &*body]).await?;
            tx.execute("DELETE FROM body", &[]).await
        })
        .await;
    wrote.expect("it is written and removed");
    deposit(&store, "a", 1).await.expect("it commits");
    let epoch = store.backend().page(everything()).await.expect("a page").epochs.current();
    reader_is_at(&store, epoch.0, 1).await;
    tokio::time::advance(2 * DAY).await;
    assert_eq!(retention::forget(&store, Moved::TOPIC, DAY).await.expect("it may forget"), 1);
    store.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_an_earlier_epoch_keeps_what_follows_the_fork() {
    let dir = tempfile::tempdir().expect("a directory");
    let sqlite = Sqlite::new(dir.path(), Options::simulated(Clock::simulated(1_700_000_000_000_000)));
    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("it opens");
    for _ in 0..5 {
        deposit(&store, "a", 1).await.expect("it commits");
    }
    let first = store.backend().page(everything()).await.expect("a page").epochs.current();
    // The reader was ahead of what was restored: it has read eight records of a life that is lost.
    reader_is_at(&store, first.0, 8).await;
    store.backend().begin_epoch(first).await.expect("an epoch");
    for _ in 0..5 {
        deposit(&store, "a", 1).await.expect("it commits");
    }
    tokio::time::advance(2 * DAY).await;
    let forgotten = retention::forget(&store, Moved::TOPIC, DAY).await.expect("it may forget");
    assert_eq!(forgotten, 5, "up to the fork: 6 to 8 of the new life it has never seen");
    assert_eq!(lane(&store).await, (5, 5, 10));
    store.close().await;
}
