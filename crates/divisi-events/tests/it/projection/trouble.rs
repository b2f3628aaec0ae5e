//! The service's own store fails, or the log does not have what is needed any more.

use std::time::Duration;

use divisi_contract::Event;
use divisi_sqlite::retention;
use divisi_store::{Class, Pos, Read, StoreError, Tx, params, reader};

use super::fixture::{Fixture, Noted, PATIENCE, until};

#[tokio::test(start_paused = true)]
async fn a_rebuild_waits_while_its_service_cannot_write() {
    let fixture = Fixture::new().await;
    fixture.note("a").await;
    let mut running = fixture.start().await;
    until("the first is counted", async || running.counts("a").await == 1).await;
    let (file, aside) = (fixture.control_file(), fixture.dir.path().join("aside"));
    std::fs::rename(&file, &aside).expect("the disk is away");
    assert!(running.rebuild.ask());
    let ended = tokio::time::timeout(Duration::from_secs(120), &mut running.task).await;
    assert!(ended.is_err(), "the projection gave up: {ended:?}");
    fixture.note("a").await;
    assert!(!fixture.file(2).exists(), "nothing is built that is written down nowhere");
    std::fs::rename(&aside, &file).expect("the disk is back");
    until("the new version took over", async || fixture.file(2).exists() && running.counts("a").await == 2)
        .await;
    until("it is written down that the new one is active", async || fixture.active().await == 2).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_cannot_be_removed_is_left_for_later_and_the_live_one_goes_on() {
    let fixture = Fixture::new().await;
    fixture.note("a").await;
    let mut running = fixture.start().await;
    until("the first is counted", async || running.counts("a").await == 1).await;
    assert!(running.rebuild.ask());
    until("the new version took over", async || fixture.file(2).exists() && fixture.active().await == 2)
        .await;
    // A directory that is not empty, which no removal of a file takes away.
    let (file, aside) = (fixture.file(1), fixture.dir.path().join("aside"));
    std::fs::rename(&file, &aside).expect("the file is away");
    std::fs::create_dir_all(file.join("in the way")).expect("something else is there");

    let kept = Duration::from_micros(divisi_store::projection::PREVIOUS_KEPT_MICROS.unsigned_abs());
    let ended = tokio::time::timeout(kept + Duration::from_secs(120), &mut running.task).await;
    assert!(ended.is_err(), "the projection gave up: {ended:?}");
    fixture.note("a").await;
    until("the live version goes on", async || running.counts("a").await == 2).await;
    assert!(running.rebuild.ask());
    let ended = tokio::time::timeout(Duration::from_secs(120), &mut running.task).await;
    assert!(ended.is_err(), "the projection gave up: {ended:?}");
    assert!(!fixture.file(3).exists(), "a new version waits until the old one is gone");
    fixture.note("a").await;
    until("the live version still goes on", async || running.counts("a").await == 3).await;

    std::fs::remove_dir_all(&file).expect("nothing is in the way");
    std::fs::rename(&aside, &file).expect("the file is back");
    until("the old version is removed", async || !file.exists()).await;
    until("the rebuild took place", async || fixture.active().await == 3).await;
    assert_eq!(running.counts("a").await, 3);
    running.stop().await;
}

/// F-54: a reader that comes when the log has forgotten what it needs is refused in words, reads nothing wrong, and
/// says so.
#[tokio::test(start_paused = true)]
async fn a_new_version_that_comes_too_late_for_the_log_says_so_and_the_old_one_serves() {
    let fixture = Fixture::new().await;
    fixture.note("a").await;
    let running = fixture.start().await;
    until("the first is counted", async || running.counts("a").await == 1).await;
    let store = fixture.log_store();
    let epoch = store
        .backend()
        .page(divisi_store::outbox::PageWanted {
            topic: Noted::TOPIC.into(),
            lanes: Vec::new(),
            max_records: 0,
            max_bytes: 0,
        })
        .await
        .expect("a page")
        .epochs
        .current();
    let lanes: Vec<_> = (0..64).map(|lane| (divisi_store::Lane(lane), epoch, Pos(1))).collect();
    let told = store
        .run(Class::Consumer, async |tx: &mut Tx| reader::tell(tx, "desk.counts", Noted::TOPIC, &lanes).await)
        .await;
    told.expect("the reader is told of");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let forgotten = retention::forget(store, Noted::TOPIC, Duration::ZERO).await.expect("it forgets");
    assert_eq!(forgotten, 1);
    // Nor does the tail have it.
    store.backend().begin_epoch(epoch).await.expect("an epoch begins");

    assert!(running.rebuild.ask());
    let why = tokio::time::timeout(PATIENCE, running.versions.ended()).await;
    let why = why.unwrap_or_else(|_| panic!("it is not said: {:#?}", running.versions.running()));
    assert!(why.contains("version 2") && why.contains("retention has removed"), "{why}");
    fixture.note("a").await;
    until("the old version goes on and serves", async || running.counts("a").await == 2).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_projection_that_stops_has_told_its_source_how_far_it_is() {
    let fixture = Fixture::new().await;
    let running = fixture.start().await;
    for _ in 0..3 {
        fixture.note("a").await;
    }
    until("they are counted", async || running.counts("a").await == 3).await;
    running.stop().await;
    let sql = "SELECT max(pos) FROM divisi_reader WHERE reader = 'desk.counts'";
    let told: Result<(i64,), StoreError> =
        fixture.log_store().read(async |read: &mut Read| read.query_one(sql, params![]).await).await;
    assert_eq!(told.expect("the source can be read"), (3,), "what it needs no more can be forgotten");
}
