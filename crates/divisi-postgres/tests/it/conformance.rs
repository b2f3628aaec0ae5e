//! The promises of every store.

use divisi_store::conformance;

use crate::fixture::databases;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_of_a_store_is_kept() {
    conformance::store_suite(&databases().await.stores()).await;
}

#[tokio::test]
async fn every_promise_of_a_store_is_kept_on_one_thread() {
    conformance::store_suite(&databases().await.stores()).await;
}
