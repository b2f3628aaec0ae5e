//! The promises of the consumer, each over a database of its own.

use divisi_events::conformance::consumer;

use crate::fixture::databases;

macro_rules! promises {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            consumer::$name(&databases().await.stores()).await;
        }
    )*};
}

divisi_events::consumer_promises!(promises);
