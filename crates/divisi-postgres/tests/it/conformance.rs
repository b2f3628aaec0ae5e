//! The promises of every store.

use divisi_store::conformance;

use divisi_store::{Isolation, Stores};

use crate::fixture::databases;
use crate::staged::Strict;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_of_a_store_is_kept() {
    conformance::store_suite(&databases().await.stores()).await;
}

#[tokio::test]
async fn every_promise_of_a_store_is_kept_on_one_thread() {
    conformance::store_suite(&databases().await.stores()).await;
}

/// Those that do not ask for positions at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stricter_service_keeps_them_too() {
    for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
        let strict = Strict(databases().await.stores(), isolation);
        let stores: &dyn Stores = &strict;
        conformance::a_kept_answer_is_given_again(stores).await;
        conformance::a_key_with_other_arguments_is_refused(stores).await;
        conformance::an_answer_is_kept_only_with_what_it_answers_for(stores).await;
        conformance::a_kept_answer_that_cannot_be_read_has_run(stores).await;
        conformance::a_panic_undoes_everything(stores).await;
        conformance::a_read_sees_one_state(stores).await;
        conformance::a_read_cannot_write(stores).await;
        conformance::a_foreign_topic_is_refused(stores).await;
        conformance::values_come_back_as_they_were(stores).await;
    }
}
