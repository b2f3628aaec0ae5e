//! The promises of every store.

use divisi_sqlite::{Options, Sqlite};
use divisi_store::{Clock, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_of_a_store_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    conformance::store_suite(&Sqlite::new(dir.path(), Options::default())).await;
}

#[tokio::test]
async fn every_promise_of_a_store_is_kept_on_one_thread() {
    let dir = tempfile::tempdir().expect("a directory");
    conformance::store_suite(&Sqlite::new(dir.path(), Options::default())).await;
}

#[tokio::test(start_paused = true)]
async fn every_promise_of_a_store_is_kept_in_simulation() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::simulated(Clock::simulated(1_700_000_000_000_000));
    conformance::store_suite(&Sqlite::new(dir.path(), options)).await;
}
