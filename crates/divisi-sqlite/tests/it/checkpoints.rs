//! The write-ahead log: brought into the file beside the writer, and short whoever writes.

use std::sync::Arc;

use divisi_contract::Answer;
use divisi_store::conformance::account::{cx, is_consistent};
use divisi_store::{Store, Tx, params};

use crate::fixture::{Fixture, fast, fixture};

/// Bytes of a row: four pages.
const ROW: usize = 16 << 10;
const ROWS_OF_A_WRITER: i64 = 3_000;

async fn write(store: Store, writer: i64) {
    let bytes = Arc::new(vec![7_u8; ROW]);
    for n in 0..ROWS_OF_A_WRITER {
        let id = writer * ROWS_OF_A_WRITER + n;
        let bytes = Arc::clone(&bytes);
        let written: Answer<()> = store
            .transact(&cx(), async |tx: &mut Tx| {
                tx.execute("INSERT INTO body (id, bytes) VALUES ($1, $2)", params![id, bytes.as_slice()])
                    .await?;
                Ok(())
            })
            .await;
        written.expect("it commits");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_always_written_to_stays_short() {
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        writers.spawn(write(store.clone(), writer));
    }
    writers.join_all().await;
    let log = std::fs::metadata(dir.path().join("bank.db-wal")).expect("it is open").len();
    let written = 4 * ROWS_OF_A_WRITER as u64 * ROW as u64;
    // A log that never begins anew has all of it, and more. How much grows while the checkpoint's thread waits for a core is
    // the machine's affair.
    assert!(log < written * 2 / 3, "{log} bytes of log after {written} were written");
    assert!(backend.stats().checkpoints > 2, "{:?}", backend.stats());
    is_consistent(&store).await;
    Fixture { store, backend, dir }.close_and_check().await;
}
