//! The program's next version has another shape, and builds it beside the one that is there.

use std::time::Duration;

use divisi_store::{Epoch, Read, StoreError, params};

use super::fixture::{BAD, Fixture, Running, until};

/// As each start of the source's process does.
async fn source_starts_anew(fixture: &Fixture) {
    fixture.log_store().backend().begin_epoch(Epoch(0)).await.expect("an epoch begins");
}

/// The program of the shape before has counted these; then it has ended, and the source has started anew.
async fn counted_by_the_old_program(notes: &[&str]) -> Fixture {
    let fixture = Fixture::new().await;
    for note in notes {
        fixture.note(note).await;
    }
    let running = fixture.start().await;
    for note in notes {
        until("it is counted", async || running.counts(note).await == 1).await;
    }
    running.stop().await;
    source_starts_anew(&fixture).await;
    fixture
}

async fn migrations(running: &Running) -> i64 {
    let sql = "SELECT max(version) FROM divisi_migration WHERE owner = 'service'";
    let row: Result<(i64,), StoreError> =
        running.model.read(async |read: &mut Read| read.query_one(sql, params![]).await).await;
    row.expect("a look").0
}

/// The version of the shape before is read by nobody but readers: it enters no epoch any more, and is taken over from all the same.
#[tokio::test(start_paused = true)]
async fn another_shape_takes_over_though_the_source_began_an_epoch_meanwhile() {
    let fixture = counted_by_the_old_program(&["a"]).await;
    fixture.note("a").await;
    let running = fixture.start_next().await;
    until("it is tallied", async || running.tally("a").await == Some(2)).await;
    assert_eq!(fixture.active().await, 2);
    fixture.note("a").await;
    until("it goes on", async || running.tally("a").await == Some(3)).await;
    running.stop().await;
}

/// A version of another shape is opened as it is: the program that made it may come back, and builds its shape anew.
#[tokio::test(start_paused = true)]
async fn the_tables_of_another_shape_are_left_alone_and_the_way_back_is_open() {
    let fixture = counted_by_the_old_program(&["a", BAD]).await;
    // What the version before has and this one holds back is missed by readers: it does not take over.
    let running = fixture.start_next().await;
    until("it is built", async || running.versions.running().iter().any(|version| version.number == 2)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((fixture.active().await, running.counts(BAD).await), (1, 1));
    assert_eq!(migrations(&running).await, 1, "nobody changes what another program made");
    running.stop().await;
    source_starts_anew(&fixture).await;
    fixture.note("a").await;
    let running = fixture.start().await;
    until("the old program goes on", async || running.counts("a").await == 2).await;
    assert_eq!(running.counts(BAD).await, 1);
    running.stop().await;
}

/// What the version before has not read yet, it does not have either.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_parked_behind_the_old_version_holds_nothing_up() {
    let fixture = counted_by_the_old_program(&["a"]).await;
    fixture.note(BAD).await;
    let running = fixture.start_next().await;
    until("it is tallied", async || running.tally("a").await == Some(1)).await;
    assert_eq!(fixture.active().await, 2);
    running.stop().await;
}
