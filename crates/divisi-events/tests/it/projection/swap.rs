//! F-49: a version takes over while somebody reads the one before.

use std::time::Duration;

use divisi_store::projection::PREVIOUS_KEPT_MICROS;
use divisi_store::{Row, params};

use super::fixture::{Fixture, until};

/// The swap does not wait for a reader of the old version, and new readers do not either.
#[tokio::test(start_paused = true)]
async fn a_reader_ends_on_the_version_that_it_began_with_and_delays_no_swap() {
    let fixture = Fixture::new().await;
    fixture.note("a").await;
    let running = fixture.start().await;
    until("the first is counted", async || running.counts("a").await == 1).await;

    let old = running.model.store();
    let mut reading = old.backend().snapshot().await.expect("a long query begins");
    let sql = "SELECT n FROM counts WHERE note = $1";
    let counted = |mut rows: Vec<Row>| rows.remove(0).take::<i64>(0).expect("a count");
    assert_eq!(counted(reading.query(sql, params!["a"]).await.expect("it reads")), 1);
    assert!(running.rebuild.ask());
    until("the new version is there", async || fixture.file(2).exists()).await;
    fixture.note("a").await;
    until("readers get the new version", async || {
        let store = running.model.store();
        !std::sync::Arc::ptr_eq(store.backend(), old.backend())
    })
    .await;
    until("it goes on counting", async || running.counts("a").await == 2).await;
    assert_eq!(counted(reading.query(sql, params!["a"]).await.expect("it goes on")), 1);

    // The old one's time is over, but not its reader's.
    let kept = Duration::from_micros(PREVIOUS_KEPT_MICROS.unsigned_abs());
    tokio::time::sleep(kept + Duration::from_secs(60)).await;
    assert_eq!(counted(reading.query(sql, params!["a"]).await.expect("it goes on")), 1);
    fixture.note("a").await;
    until("the new one does not wait for it", async || running.counts("a").await == 3).await;
    drop(reading);
    until("the old one is removed", async || !fixture.file(1).exists()).await;
    running.stop().await;
}
